import datetime as dt
import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fraud_ml.errors import DataError
from fraud_ml.feature_spec import (
    DEFAULT_SPEC,
    HANDBOOK_SPEC,
    Aggregate,
    FeatureSpec,
    Key,
    RowFeature,
    RowValue,
    WindowFeature,
)
from fraud_ml.feature_state import FeatureState
from fraud_ml.features import compute_features
from fraud_ml.simulator import SimulatorConfig, simulate

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
START = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
KEYS = (Key.CUSTOMER, Key.TERMINAL, (Key.CUSTOMER, Key.TERMINAL))

# Window and delay in hours, and which of the last transactions.
SHAPES = [
    *((window, delay, None) for window, delay in ((None, 0), (1, 0), (5, 0), (1, 2), (5, 2))),
    *((None, 0, nth) for nth in (1, 3)),
]


def every_feature(resolution):
    """Every aggregate over every key, with and without a delay, in windows of hours."""
    features = [RowFeature(name=value.value, value=value) for value in RowValue]
    for key in KEYS:
        for aggregate in Aggregate:
            for window, delay, nth in SHAPES:
                try:
                    feature = WindowFeature(
                        name=f"{key}_{aggregate}_{window}_{delay}_{nth}",
                        key=key,
                        aggregate=aggregate,
                        window=None if window is None else window * HOUR,
                        delay=delay * HOUR,
                        of=Key.TERMINAL if aggregate is Aggregate.DISTINCT else None,
                        nth=nth,
                    )
                except ValueError:  # an aggregate that takes no window, or needs one
                    continue
                features.append(feature)
    return FeatureSpec(
        features=tuple(features), resolution=resolution, usual_over=3, unusual_ratio=1.5
    )


SPECS = {r: every_feature(r) for r in (SECOND, HOUR / 2, HOUR)}
LABELS = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("is_fraud", pa.bool_()),
        ("labelled_at", pa.timestamp("us", "UTC")),
    ]
)
# What arrives, one thing after the other: a payment (how many thirds of an hour after the start,
# not always later than the one before; customer, terminal, amount) or a label (of which payment
# so far, at how many thirds of an hour, and what it says). Some labels come before their time,
# some long after, some correct others.
THIRDS = st.integers(0, 40)
PAYMENT = st.tuples(
    THIRDS,
    st.sampled_from(["ann", "bob"]),
    st.integers(0, 1),
    st.sampled_from([0.0, 0.1, 19.99, 20.0, 1e12]),
)
LABEL = st.tuples(st.integers(0, 30), THIRDS, st.booleans() | st.none())
ARRIVALS = st.lists(st.one_of(PAYMENT, PAYMENT, LABEL), min_size=1, max_size=30)


def in_order(arrivals):
    """The payments among ``arrivals`` in the order of their times, labels where they were."""
    times = iter(sorted(item[0] for item in arrivals if len(item) == 4))
    return [(next(times), *item[1:]) if len(item) == 4 else item for item in arrivals]


def at(thirds):
    return START + thirds * HOUR / 3


def payments_of(items, first_id=0):
    thirds, customers, terminals, amounts = zip(*items, strict=True)
    return pa.table(
        {
            "transaction_id": pa.array(range(first_id, first_id + len(items)), pa.int64()),
            "timestamp": pa.array([at(t) for t in thirds], pa.timestamp("us", "UTC")),
            "customer_id": customers,
            "terminal_id": terminals,
            "amount": pa.array(amounts, pa.float64()),
        }
    )


def labels_of(items):
    rows = [
        {"transaction_id": row, "is_fraud": says, "labelled_at": at(thirds)}
        for row, thirds, says in items
    ]
    return pa.Table.from_pylist(rows, schema=LABELS)


def assert_equal(ours, expected):
    assert ours.column_names == expected.column_names
    for name in ours.column_names:
        np.testing.assert_allclose(
            ours[name].to_numpy(), expected[name].to_numpy(), rtol=1e-9, err_msg=name
        )


def assert_agrees_on_every_row(arrivals, spec, *, save_after=None):
    state = FeatureState(spec, lateness=14 * HOUR)
    payments, labels = [], []
    for n, item in enumerate(arrivals):
        if n == save_after:
            state = FeatureState.from_bytes(state.to_bytes())
        if len(item) == 3:
            row, thirds, says = item
            if payments:
                label = (row % len(payments), thirds, says)
                labels.append(label)
                state.apply_labels(labels_of([label]))
            continue
        payments.append(item)
        ours = state.update_table(payments_of([item], first_id=len(payments) - 1))
        expected = compute_features(
            payments_of(payments), labels_of(labels), spec, arrival_order=True
        )
        assert_equal(ours, expected.slice(len(payments) - 1))


@settings(max_examples=40)
@example(
    arrivals=[(0, "ann", 0, 1.0), (0, 9, True), (0, 12, False), (9, "ann", 0, 1.0)],
    resolution=HOUR,
    save_after=3,
)
@given(
    arrivals=ARRIVALS.map(in_order),
    resolution=st.sampled_from(list(SPECS)),
    save_after=st.integers(0, 30),
)
def test_in_order_it_agrees_with_all_at_once_on_what_has_arrived(arrivals, resolution, save_after):
    assert_agrees_on_every_row(arrivals, SPECS[resolution], save_after=save_after)


@settings(max_examples=40)
@given(arrivals=ARRIVALS, resolution=st.sampled_from(list(SPECS)))
def test_out_of_order_it_agrees_with_all_at_once_on_what_has_arrived(arrivals, resolution):
    assert_agrees_on_every_row(arrivals, SPECS[resolution])


@settings(max_examples=40)
@given(
    payments=st.lists(PAYMENT, min_size=2, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_batches_of_any_size_give_the_same(payments, cuts):
    spec = SPECS[HOUR / 2]
    table = payments_of(payments)
    state = FeatureState(spec)
    edges = [0, *sorted(min(cut, len(payments)) for cut in cuts), len(payments)]
    batches = [
        state.update_table(table.slice(start, stop - start))
        for start, stop in itertools.pairwise(edges)
    ]
    assert_equal(
        pa.concat_tables(batches),
        compute_features(table, labels_of([]), spec, arrival_order=True),
    )


@pytest.mark.parametrize("spec", [HANDBOOK_SPEC, DEFAULT_SPEC], ids=["handbook", "default"])
def test_over_months_of_payments_and_labels_it_agrees(spec):
    data = simulate(SimulatorConfig(n_customers=60, n_terminals=30, n_days=70, seed=1))
    transactions = data.transactions
    frauds = data.labels.filter(data.labels["is_fraud"]).sort_by("labelled_at")
    label_time = frauds["labelled_at"].cast(pa.int64()).to_numpy()
    time = transactions["timestamp"].cast(pa.int64()).to_numpy()
    state = FeatureState(spec)
    answers, told = [], 0
    for start in range(0, len(time), 5):
        early = time[start] + 5 * 24 * 3_600_000_000  # they are found after 7 days
        known = int(np.searchsorted(label_time, early))
        state.apply_labels(frauds.slice(told, known - told))
        told = known
        answers.append(state.update_table(transactions.slice(start, 5)))
    expected = compute_features(transactions, frauds.slice(0, told), spec)
    assert frauds.num_rows > 20
    assert_equal(pa.concat_tables(answers), expected)


def test_memory_is_bounded_by_instants_not_by_payments_or_time():
    spec = SPECS[HOUR]
    state = FeatureState(spec)
    sizes = []
    for day in range(10):
        payments = [(72 * day + third, "ann", 0, 1.0) for third in range(72)] * 3
        state.update_table(payments_of(sorted(payments), first_id=216 * day))
        sizes.append(len(state.to_bytes()))
    assert sizes[-1] < 1.02 * sizes[3]


def test_a_label_is_of_use_once():
    state = FeatureState(SPECS[HOUR])
    state.update_table(payments_of([(0, "ann", 0, 1.0)]))
    said = [(0, 3, True), (0, 2, False), (0, 4, None), (7, 3, True)]  # newest, older, null, unknown
    assert state.apply_labels(labels_of(said)) == 1


def test_bytes_that_are_no_state_are_refused():
    content = FeatureState(HANDBOOK_SPEC).to_bytes()
    for bad in (b"", b"nonsense", content[: len(content) // 2]):
        with pytest.raises(DataError, match="these bytes are no feature state"):
            FeatureState.from_bytes(bad)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="the spec needs column 'terminal_id'"):
        FeatureState(HANDBOOK_SPEC).update(
            {"transaction_id": [1], "timestamp": [0], "amount": [1.0], "customer_id": [1]}
        )
