import datetime as dt
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fraud_ml._key_histories import KeyHistories
from fraud_ml.default_specs import DEFAULT_SPEC, HANDBOOK_SPEC, default_spec
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import (
    OF_LABELS,
    Aggregate,
    FeatureSpec,
    Key,
    RowFeature,
    RowValue,
    Unless,
    WindowFeature,
)
from fraud_ml.feature_state import _MANY, FeatureState, _helpers
from fraud_ml.features import compute_features
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate

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
    features += features_that_leave_frauds_out()
    return FeatureSpec(
        features=tuple(features), resolution=resolution, usual_over=3, unusual_ratio=1.5
    )


def features_that_leave_frauds_out():
    """Every aggregate of known frauds, by another key's history, by its own and by the row."""
    usual = Unless(feature=f"{Key.CUSTOMER}_amount_to_median_None_0_None", above=1.37)
    return [
        WindowFeature(
            name=f"{key}_{aggregate}_unless_{unless.feature}",
            key=key,
            aggregate=aggregate,
            window=5 * HOUR,
            delay=2 * HOUR,
            unless=unless,
        )
        for unless in (usual, Unless(feature="amount", above=19.99))
        for aggregate in sorted(OF_LABELS)
        for key in KEYS
    ]


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


@pytest.mark.parametrize(
    "spec",
    [HANDBOOK_SPEC, DEFAULT_SPEC, default_spec(traffic=True)],
    ids=["handbook", "default", "traffic"],
)
def test_over_months_of_payments_and_labels_it_agrees(spec):
    data = simulate(
        Scenario(n_days=70, seed=1, population=Population(n_customers=60, n_terminals=30))
    )
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


def assert_same(found, expected):
    assert found.column_names == expected.column_names
    for name in found.column_names:
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy())


def many_payments():
    people = Population(n_customers=60, n_terminals=30)
    return simulate(Scenario(n_days=30, population=people)).transactions


def test_many_at_once_are_the_same_to_the_last_bit_as_a_few_at_a_time():
    spec = every_feature(HOUR)
    table = many_payments()
    at_once, in_parts = FeatureState(spec), FeatureState(spec)
    n_rows = _MANY + 64
    assert table.num_rows >= n_rows
    answer = at_once.update_table(table.slice(0, n_rows))
    parts = [in_parts.update_table(table.slice(at, 64)) for at in range(0, n_rows, 64)]
    one_by_one = pa.concat_tables(parts)
    assert_same(answer, one_by_one)
    assert at_once.to_bytes() == in_parts.to_bytes()


def test_many_are_counted_though_all_threads_are_at_other_work():
    spec = every_feature(HOUR)
    table = many_payments().slice(0, _MANY)
    is_over = threading.Event()
    others = [
        _helpers().submit(is_over.wait, 60) for _ in range(100)
    ]  # more than there are threads
    try:
        found = FeatureState(spec).update_table(table)
        assert not any(other.done() for other in others)
    finally:
        is_over.set()
    assert_same(found, FeatureState(spec).update_table(table))


def test_a_forked_process_counts_many_at_once_too():
    table = many_payments()
    before, after = table.slice(0, _MANY), table.slice(_MANY, _MANY)
    state = FeatureState(DEFAULT_SPEC)
    state.update_table(before)  # with threads, which a child does not have
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # whoever waits for a thread that is not there is killed
        state.update_table(after)
        os.write(writer, hashlib.sha256(state.to_bytes()).digest())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        of_child = told.read()
    assert os.waitpid(child, 0)[1] == 0
    state.update_table(after)
    assert of_child == hashlib.sha256(state.to_bytes()).digest()


def test_histories_move_seldom_as_they_grow(monkeypatch):
    moves = []
    roll = KeyHistories._rolled

    def counted(kind, unrolled, *room):
        moves.append(kind.plan.columns)
        return roll(kind, unrolled, *room)

    monkeypatch.setattr(KeyHistories, "_rolled", counted)
    people = Population(n_customers=400, n_terminals=400)
    payments = simulate(Scenario(n_days=120, population=people)).transactions
    state = FeatureState(DEFAULT_SPEC)
    for start in range(0, payments.num_rows, 1_000):
        state.update_table(payments.slice(start, 1_000))
    assert payments.num_rows > 64 * 1_000
    assert len(moves) == len(state.n_keys)  # as they begin


def test_where_no_more_memory_may_be_asked_for_histories_have_less_room():
    # In a process of its own: who once limits its memory may not take that back.
    program = """if True:
        import resource
        import numpy as np
        from fraud_ml._key_histories import Unrolled
        from fraud_ml.default_specs import DEFAULT_SPEC
        from fraud_ml.feature_state import FeatureState

        kind = FeatureState(DEFAULT_SPEC)._kinds[0]
        nothing, one = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
        entries = np.arange(2**20 * kind.plan.width[0])
        unrolled = Unrolled(
            one,
            np.zeros((1, len(kind.plan.kept.ages)), dtype=np.int64),
            [(one + 2**20, entries), *[(one, nothing)] * (len(kind.plan.width) - 1)],
        )
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 4 * entries.nbytes,) * 2)
        rings = kind._rolled(unrolled).rings
        assert len(rings.pool) == 2 * len(entries), len(rings.pool)
        assert (rings.pool[: len(entries)] == entries).all()
        """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_memory_is_bounded_by_instants_not_by_payments_or_time():
    state = FeatureState(SPECS[HOUR])
    sizes = []
    for day in range(24):
        payments = [(72 * day + third, "ann", 0, 1.0) for third in range(72)] * 3
        state.update_table(payments_of(sorted(payments), first_id=1_000 + 216 * day))
        sizes.append(len(state.to_bytes()))
    assert max(sizes[12:]) < 1.02 * max(sizes[:12])


def test_a_label_is_of_use_once():
    state = FeatureState(SPECS[HOUR])
    state.update_table(payments_of([(0, "ann", 0, 1.0)]))
    said = [(0, 3, True), (0, 3, True), (0, 4, None), (7, 3, True)]  # new, again, null, unknown
    assert state.apply_labels(labels_of(said)) == 1


def test_the_newest_label_counts_in_whatever_order_they_are_given():
    said = [(0, 6, True), (0, 15, False), (0, 21, True), (0, 27, False)]
    payments = [(0, "ann", 0, 1.0), *((thirds, "ann", 0, 1.0) for thirds in (9, 18, 24, 28))]
    for labels in itertools.permutations(said):
        assert_agrees_on_every_row([payments[0], *labels, *payments[1:]], SPECS[HOUR])


COUNTS = FeatureSpec(
    features=(
        WindowFeature(
            name="frauds", key=Key.TERMINAL, aggregate=Aggregate.FRAUD_COUNT, window=24 * HOUR
        ),
        WindowFeature(name="age", key=Key.CUSTOMER, aggregate=Aggregate.HISTORY_LENGTH),
    ),
    resolution=HOUR,
)


def days_of_payments(days, first_id):
    """A hundred payments a day, all by one customer at one terminal."""
    thirds = [72 * day + n * 72 // 100 for day in days for n in range(100)]
    return payments_of([(t, "ann", 0, 1.0) for t in thirds], first_id=first_id)


def test_a_wrong_clock_makes_no_label_forgotten():
    state = FeatureState(COUNTS)
    state.update_table(days_of_payments(range(3), first_id=0))
    far = {
        "transaction_id": [-1, -2],
        "timestamp": [2**60, -(2**60)],  # the year 38505 or so, and long ago
        "customer_id": ["bob", "bob"],
        "terminal_id": [1, 1],
        "amount": [1.0, 1.0],
    }
    state.update(far)
    state.update_table(days_of_payments(range(3, 6), first_id=300))
    newest = 599
    assert state.apply_labels(labels_of([(newest, 72 * 6, True)])) == 1
    answer = state.update_table(payments_of([(72 * 6, "ann", 0, 1.0)], first_id=600))
    assert answer["frauds"].to_pylist() == [1]


def test_labels_of_payments_that_have_left_all_windows_are_of_no_use():
    state = FeatureState(COUNTS, lateness=HOUR)
    state.update_table(days_of_payments(range(20), first_id=0))
    assert state.apply_labels(labels_of([(0, 72 * 20, True), (1_999, 72 * 20, True)])) == 1


def test_a_key_that_is_forgotten_counts_as_never_seen():
    state = FeatureState(COUNTS)
    state.update_table(payments_of([(0, "ann", 0, 1.0), (300, "bob", 1, 1.0)]))
    assert state.forget_before(at(3)) == 2  # the customer and the terminal
    assert state.forget_before(at(3)) == 0
    assert state.apply_labels(labels_of([(0, 3, True), (1, 301, True)])) == 2
    later = [(303, "ann", 0, 1.0), (303, "bob", 1, 1.0)]
    for again in (state, FeatureState.from_bytes(state.to_bytes())):
        answer = again.update_table(payments_of(later, first_id=2))
        assert answer["age"].to_pylist() == [0, 3600]
        assert answer["frauds"].to_pylist() == [0, 1]


@settings(max_examples=20)
@given(arrivals=ARRIVALS, later=ARRIVALS)
def test_forgetting_what_has_left_all_windows_changes_no_window(arrivals, later):
    first = [item for item in arrivals if len(item) == 4]
    then = [(item[0] + 80, *item[1:]) for item in later if len(item) == 4]
    spec = SPECS[HOUR]
    past = ("median", "robust", "history", "nth", "unusual")
    names = [name for name in spec.names if not any(word in name for word in past)]
    answers = []
    for forgets in (True, False):
        state = FeatureState(spec)
        if first:
            state.update_table(payments_of(first))
        if forgets:
            state.forget_before(at(60))
        if then:
            answer = state.update_table(payments_of(then, first_id=len(first)))
            answers.append(answer.select(names))
    if then:
        assert_equal(*answers)


@settings(max_examples=20)
@given(arrivals=ARRIVALS)
def test_the_same_state_has_the_same_bytes(arrivals):
    state = FeatureState(SPECS[HOUR])
    for n, item in enumerate(arrivals):
        if len(item) == 3:
            state.apply_labels(labels_of([item]))
        else:
            state.update_table(payments_of([item], first_id=n))
    content = state.to_bytes()
    assert FeatureState.from_bytes(content).to_bytes() == content


def test_bytes_that_are_no_state_are_refused():
    for bad in (b"", b"nonsense", b"PK\3\4" + bytes(1_000)):
        with pytest.raises(DataError, match="these bytes are no feature state"):
            FeatureState.from_bytes(bad)


def test_damaged_bytes_are_refused_wherever_the_damage_is():
    state = FeatureState(COUNTS)
    state.update_table(payments_of([(0, "ann", 0, 1.0)]))
    content = state.to_bytes()
    with pytest.raises(DataError, match="no feature state|damaged"):
        FeatureState.from_bytes(content[:-1])
    for at_byte in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at_byte] ^= 1
        with pytest.raises(DataError, match="no feature state|damaged"):
            FeatureState.from_bytes(bytes(damaged))


def test_a_key_that_json_does_not_know_cannot_be_saved():
    state = FeatureState(COUNTS)
    state.update({**ONE, "terminal_id": [START]})
    with pytest.raises(DataError, match="keys and ids must be text or whole numbers"):
        state.to_bytes()


ONE = {
    "transaction_id": [1],
    "timestamp": [0],
    "customer_id": ["ann"],
    "terminal_id": [0],
    "amount": [1.0],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": [float("nan")]}, "amount nan in row 0: it must be from 0 to 1e"),
        ({"amount": [-0.01]}, "amount -0.01 in row 0"),
        ({"amount": ["much"]}, "amounts must be numbers: could not convert"),
        ({"timestamp": [0.5]}, "timestamps must be whole numbers of microseconds"),
        ({"timestamp": [2**62]}, "not microseconds since the epoch"),
        ({"timestamp": [2**70]}, "timestamp 1180591620717411303424 in row 0: not micro"),
        ({"transaction_id": [None]}, "column 'transaction_id' has nulls"),
        ({"customer_id": ["ann", "bob"]}, "column 'customer_id' has 2 values, 'timestamp' has 1"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(changes, message):
    state = FeatureState(SPECS[HOUR])
    state.update(ONE)
    before = state.to_bytes()
    with pytest.raises(DataError, match=message):
        state.update(ONE | changes)
    assert state.to_bytes() == before


def test_numpy_columns_and_no_rows_are_fine():
    state = FeatureState(SPECS[HOUR])
    of_numpy = state.update({name: np.array(values) for name, values in ONE.items()})
    of_lists = FeatureState(SPECS[HOUR]).update(ONE)
    np.testing.assert_array_equal(of_numpy, of_lists)
    assert state.update({name: [] for name in ONE}).shape == (0, len(SPECS[HOUR].features))


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="'terminal_id', which feature 'terminal_count_1d' reads"):
        FeatureState(HANDBOOK_SPEC).update(
            {"transaction_id": [1], "timestamp": [0], "amount": [1.0], "customer_id": [1]}
        )


def test_the_keys_that_are_known_are_counted():
    state = FeatureState(HANDBOOK_SPEC)
    assert state.n_keys == {"customer_id": 0, "terminal_id": 0}
    state.update(
        {
            "transaction_id": [1, 2, 3],
            "timestamp": [0, 0, 0],
            "amount": [1.0] * 3,
            "customer_id": ["ann", "bob", "ann"],
            "terminal_id": [7, 7, None],
        }
    )
    assert state.n_keys == {"customer_id": 2, "terminal_id": 1}
