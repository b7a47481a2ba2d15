import datetime as dt
import itertools
import math
import statistics
from fractions import Fraction
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fraud_ml import _windows
from fraud_ml.default_specs import DEFAULT_SPEC, HANDBOOK_SPEC, TRAFFIC_FEATURES
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
    last_transactions,
)
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.transactions import normalise_labels, normalise_transactions

HOUR = dt.timedelta(hours=1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
START = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)  # a Sunday

KEYS = (Key.CUSTOMER, Key.TERMINAL)
RESOLUTIONS = [dt.timedelta(microseconds=1), dt.timedelta(minutes=30), HOUR]


def every_feature(resolution):
    """Every aggregate over every key, with and without a delay.

    Windows are of hours, so that short streams fill, overflow and miss them.
    """
    return FeatureSpec(
        resolution=resolution,
        usual_over=3,
        unusual_ratio=1.5,
        features=(
            *(RowFeature(name=value.value, value=value) for value in RowValue),
            *window_features(),
            *features_that_leave_frauds_out(),
        ),
    )


def features_that_leave_frauds_out():
    """Every aggregate of known frauds, by another key's history, by its own and by the row."""
    deciding = (
        ("customer_id_amount_to_median_None_0_None", 1.37),
        ("customer_id_count_5_0_None", 2),
    )
    for unless in (*deciding, ("amount", 19.99)):
        for aggregate in sorted(OF_LABELS):
            for key in KEYS:
                yield WindowFeature(
                    name=f"{key}_{aggregate}_unless_{unless[0]}",
                    key=key,
                    aggregate=aggregate,
                    window=5 * HOUR,
                    delay=2 * HOUR,
                    unless=Unless(feature=unless[0], above=unless[1]),
                )


def window_features():
    shapes = [
        *((window, delay, None) for window, delay in ((None, 0), (1, 0), (5, 0), (1, 2), (5, 2))),
        *((None, 0, nth) for nth in (1, 3)),
    ]
    for key in (*KEYS, (Key.CUSTOMER, Key.TERMINAL)):
        other = Key.CUSTOMER if key == Key.TERMINAL else Key.TERMINAL
        for aggregate in Aggregate if key in KEYS else (Aggregate.COUNT, Aggregate.FRAUD_AGE):
            for window, delay, nth in shapes:
                try:
                    yield WindowFeature(
                        name=f"{key}_{aggregate}_{window}_{delay}_{nth}",
                        key=key,
                        aggregate=aggregate,
                        window=None if window is None else window * HOUR,
                        delay=delay * HOUR,
                        of=other if aggregate is Aggregate.DISTINCT else None,
                        nth=nth,
                    )
                except ValueError:  # an aggregate that takes no window, or needs one
                    continue


# One payment: hour, customer, terminal, amount, and hours until its label says fraud (None: never).
PAYMENT = st.tuples(
    st.integers(0, 36).map(lambda thirds: thirds / 3),
    st.sampled_from(["ann", "bob"]),
    st.integers(0, 2),
    st.sampled_from([0.0, 0.1, 19.99, 1e-9, 1e12]),
    st.one_of(st.none(), st.integers(0, 36).map(lambda thirds: thirds / 3)),
)
# A label that corrects an earlier one: of which payment, hours after it, and what it says.
CORRECTION = st.tuples(st.integers(0, 24), st.integers(0, 12), st.booleans())


def stream(payments):
    """Transactions and labels of ``payments``; frauds never found have a null label."""
    hours, customers, terminals, amounts, found = zip(*payments, strict=True)
    table = pa.table(
        {
            "transaction_id": range(len(payments)),
            "timestamp": [START + hour * HOUR for hour in hours],
            "customer_id": customers,
            "terminal_id": terminals,
            "amount": amounts,
            "is_fraud": [None if wait is None else True for wait in found],
            "labelled_at": pa.array(
                [
                    None if wait is None else START + hour * HOUR + wait * HOUR
                    for hour, wait in zip(hours, found, strict=True)
                ],
                pa.timestamp("us", "UTC"),
            ),
        }
    )
    transactions = normalise_transactions(table)
    return transactions, normalise_labels(table, transactions)


def corrected(labels, transactions, corrections):
    """``labels``, and after them those of ``corrections``."""
    rows = transactions.to_pylist()
    more = [
        {
            "transaction_id": rows[row % len(rows)]["transaction_id"],
            "is_fraud": is_fraud,
            "labelled_at": rows[row % len(rows)]["timestamp"] + hours * HOUR,
        }
        for row, hours, is_fraud in corrections
    ]
    return pa.concat_tables([labels, pa.Table.from_pylist(more, schema=labels.schema)])


class Plain:
    """The definitions, read aloud, one row and one window at a time."""

    def __init__(self, transactions, labels, spec):
        self.rows = transactions.to_pylist()
        self.spec = spec
        self.labels = {row["transaction_id"]: [] for row in self.rows}
        for label in labels.to_pylist():
            if label["transaction_id"] in self.labels and label["is_fraud"] is not None:
                since = -((EPOCH - label["labelled_at"]) // spec.resolution)
                self.labels[label["transaction_id"]].append(
                    (label["labelled_at"], since, label["is_fraud"])
                )
        for known in self.labels.values():
            known.sort(key=lambda label: label[0])

    def features(self):
        return [
            {feature.name: self.feature(i, feature) for feature in self.spec.features}
            for i in range(len(self.rows))
        ]

    def feature(self, i, feature):
        now = self.rows[i]["timestamp"]
        if isinstance(feature, RowFeature):
            return {
                RowValue.AMOUNT: self.rows[i]["amount"],
                RowValue.IS_WEEKEND: float(now.weekday() >= 5),
                RowValue.IS_NIGHT: float(now.hour <= 6),
            }[feature.value]
        past = self.past(i, feature)
        if feature.window is None:
            return self.of_all_the_past(i, feature, past)
        return self.of_window(i, feature, past)

    def past(self, i, feature):
        """Rows of the key up to ``i``, and the instant of each: never before the one before."""
        past, newest = [], -math.inf
        for j in range(len(self.rows)):
            if all(self.rows[j][column] == self.rows[i][column] for column in feature.columns):
                instant = (self.rows[j]["timestamp"] - EPOCH) // self.spec.resolution
                newest = max(newest, instant)
                if j <= i:
                    past.append((j, newest))
        return past

    def ratio(self, j, before):
        usual = self.usual(before)
        return self.rows[j]["amount"] / usual if usual else 0.0

    def usual(self, before):
        last = [self.rows[j]["amount"] for j, _ in before[-self.spec.usual_over :]]
        return statistics.median(last) if last else 0.0

    def of_all_the_past(self, i, feature, past):
        if feature.aggregate is Aggregate.HISTORY_LENGTH:
            return self.seconds(past[-1][1] - past[0][1])
        if feature.aggregate is Aggregate.AMOUNT_TO_MEDIAN:
            return self.ratio(i, past[:-1])
        if feature.nth is not None:
            if len(past) <= feature.nth:
                return math.nan
            nth, at = past[-1 - feature.nth]
            is_age = feature.aggregate is Aggregate.NTH_LAST_AGE
            return self.seconds(past[-1][1] - at) if is_age else self.rows[nth]["amount"]
        usual = self.usual(past[:-1])
        distances = [abs(self.rows[j]["amount"] - usual) for j, _ in past[:-1][-3:]]
        scale = max(1.4826 * statistics.median(distances or [0]), 0.1 * usual)
        return (self.rows[i]["amount"] - usual) / scale if scale else 0.0

    def of_window(self, i, feature, past):
        now, spec = past[-1][1], self.spec
        delay, window = feature.delay // spec.resolution, feature.window // spec.resolution
        inside = [(j, at) for j, at in past if now - delay - window < at <= now - delay]
        amounts = [self.rows[j]["amount"] for j, _ in inside]
        before = [(j, at) for j, at in inside if j != i]
        ratios = [self.ratio(j, past[:n]) for n, (j, _) in enumerate(past) if (j in dict(inside))]
        frauds = {j: at for j, at in inside if j != i and self.is_known_fraud(j, now)}
        if feature.unless is not None:
            frauds = {j: at for j, at in frauds.items() if not self.is_above(j, feature.unless)}
        instants = sorted({at for _, at in inside}, reverse=True)
        mean = math.fsum(amounts) / len(amounts) if amounts else 0.0
        match feature.aggregate:
            case Aggregate.COUNT:
                return len(inside)
            case Aggregate.SUM_AMOUNT:
                return math.fsum(amounts)
            case Aggregate.MEAN_AMOUNT:
                return mean
            case Aggregate.MAX_AMOUNT:
                return max(amounts, default=0.0)
            case Aggregate.STD_AMOUNT:
                return statistics.pstdev(map(Fraction, amounts)) if amounts else 0.0
            case Aggregate.AMOUNT_TO_MEAN:
                total = math.fsum(self.rows[j]["amount"] for j, _ in before)
                return self.rows[i]["amount"] / (total / len(before)) if total else 0.0
            case Aggregate.MAX_AMOUNT_TO_MEDIAN:
                return max(ratios, default=0.0)
            case Aggregate.UNUSUAL_COUNT:
                return sum(ratio > spec.unusual_ratio for ratio in ratios)
            case Aggregate.TIME_SINCE_LAST:
                return self.seconds(now - before[-1][1] if before else delay + window)
            case Aggregate.DISTINCT:
                return len({self.rows[j][feature.of] for j, _ in inside})
            case Aggregate.FRAUD_COUNT:
                return len(frauds)
            case Aggregate.FRAUD_RATE:
                return len(frauds) / len(inside) if inside else 0.0
            case Aggregate.LAST_LABEL:
                last = [j for j, at in inside if at == instants[0]]
                return sum(j in frauds for j in last) / len(last) if last else 0.0
            case Aggregate.FRAUD_AGE:
                return self.seconds(now - max(frauds.values(), default=now - delay - window))
            case Aggregate.FRAUD_RUN_AGE:
                run = list(itertools.takewhile(lambda at: at in frauds.values(), instants))
                return self.seconds(now - run[-1] if run else 0)
            case Aggregate.FRAUD_RUN_LENGTH:
                return len(list(itertools.takewhile(lambda at: at in frauds.values(), instants)))
            case Aggregate.LAST_FRAUD_AMOUNT:
                last = max(frauds.values(), default=None)
                of_last = (self.rows[j]["amount"] for j, at in frauds.items() if at == last)
                return min(of_last, default=0.0)

    def is_known_fraud(self, j, now):
        known = [
            says for _, since, says in self.labels[self.rows[j]["transaction_id"]] if since <= now
        ]
        return bool(known) and known[-1]

    def is_above(self, j, unless):
        (deciding,) = (f for f in self.spec.features if f.name == unless.feature)
        return np.float32(self.feature(j, deciding)) > np.float32(unless.above)

    def seconds(self, instants):
        return instants * (self.spec.resolution / dt.timedelta(seconds=1))


def assert_are_the_plain_definitions(features, transactions, labels, spec):
    assert features.column_names == list(spec.names)
    largest = max(transactions["amount"].to_pylist())
    for row, expected in zip(
        features.to_pylist(), Plain(transactions, labels, spec).features(), strict=True
    ):
        for name, value in row.items():
            slack = 1e-7 * largest + 1e-11 if Aggregate.STD_AMOUNT in name else 0
            assert value == pytest.approx(expected[name], rel=1e-13, abs=slack, nan_ok=True), name


@settings(max_examples=60)
@example(
    payments=[(0, "ann", 0, 1e12, 0), (1, "ann", 0, 0.1, 0), (6, "ann", 0, 0.1, None)],
    corrections=[(0, 4, False)],
    resolution=HOUR,
)
@given(
    payments=st.lists(PAYMENT, min_size=1, max_size=20),
    corrections=st.lists(CORRECTION, max_size=5),
    resolution=st.sampled_from(RESOLUTIONS),
)
def test_features_are_the_plain_definitions(payments, corrections, resolution):
    transactions, labels = stream(payments)
    labels = corrected(labels, transactions, corrections)
    spec = every_feature(resolution)
    features = compute_features(transactions, labels, spec)
    assert_are_the_plain_definitions(features, transactions, labels, spec)


@settings(max_examples=50)
@given(
    payments=st.lists(PAYMENT, min_size=1, max_size=20),
    resolution=st.sampled_from(RESOLUTIONS),
    data=st.data(),
)
def test_a_late_row_counts_as_if_it_happened_with_its_keys_newest(payments, resolution, data):
    transactions, labels = stream(payments)
    arrived = transactions.take(data.draw(st.permutations(range(len(payments)))))
    spec = every_feature(resolution)
    features = compute_features(arrived, labels, spec, arrival_order=True)
    assert_are_the_plain_definitions(features, arrived, labels, spec)


@settings(max_examples=50)
@given(
    payments=st.lists(PAYMENT, min_size=1, max_size=20),
    corrections=st.lists(CORRECTION, max_size=5),
    size=st.integers(1, 8),
)
def test_values_do_not_depend_on_which_keys_are_computed_together(payments, corrections, size):
    transactions, labels = stream(payments)
    labels = corrected(labels, transactions, corrections)
    spec = every_feature(dt.timedelta(minutes=30))
    features = compute_features(transactions, labels, spec)
    with mock.patch.object(_windows, "_BLOCK", size):
        again = compute_features(transactions, labels, spec)
    for name in spec.names:
        np.testing.assert_array_equal(again[name], features[name], err_msg=name)


def test_windows_of_millennia_over_many_keys_are_counted_right():
    millennium = 365_250 * 24  # hours
    payments = [(hour, str(who), 0, 1.0, None) for hour in (0, 7 * millennium) for who in range(99)]
    transactions, labels = stream(payments)
    for window, expected in ((6, 1), (8, 2)):
        spec = hours_of(Aggregate.COUNT, window=window * millennium, key=Key.CUSTOMER)
        counts = compute_features(transactions, labels, spec)["f"].to_pylist()
        assert counts == [1] * 99 + [expected] * 99


@given(
    payments=st.lists(PAYMENT, min_size=2, max_size=20),
    future=st.lists(PAYMENT, min_size=20, max_size=20),
    corrections=st.lists(CORRECTION, max_size=5),
    thirds=st.integers(0, 36),
    resolution=st.sampled_from(RESOLUTIONS),
)
@settings(max_examples=60)
def test_rewriting_the_future_changes_no_feature_of_the_past(
    payments, future, corrections, thirds, resolution
):
    now, later = thirds / 3, (thirds + 1) / 3

    def knowing(payment, other):
        hour, customer, terminal, amount, found = payment
        if hour > now:  # not happened yet: another payment may come, after now
            return max(other[0], later), *other[1:]
        if found is None or hour + found > now + 1e-9:  # not labelled yet
            found = None if other[4] is None else max(other[4], later - hour)
        return hour, customer, terminal, amount, found

    spec = every_feature(resolution)
    transactions, labels = stream(payments)
    happened = sum(hour <= now for hour, *_ in payments)
    rewritten = [knowing(p, other) for p, other in zip(payments, future, strict=False)]
    other_transactions, other_labels = stream(rewritten)
    assert transactions.slice(0, happened).equals(other_transactions.slice(0, happened))
    # What is corrected after now is not known either.
    other_labels = corrected(
        other_labels,
        other_transactions,
        [(row, hours + 14, says) for row, hours, says in corrections],
    )
    features = compute_features(transactions, labels, spec).slice(0, happened)
    rewritten_features = compute_features(other_transactions, other_labels, spec)
    for name in features.column_names:  # NaN, where a key has fewer transactions, is NaN
        np.testing.assert_array_equal(
            features[name].to_numpy(), rewritten_features[name].slice(0, happened).to_numpy()
        )


def hours_of(aggregate, *, window=1, delay=0, key=Key.TERMINAL):
    feature = WindowFeature(
        name="f", key=key, aggregate=aggregate, window=window * HOUR, delay=delay * HOUR
    )
    return FeatureSpec(features=(feature,))


def test_of_payments_at_the_same_instant_only_earlier_rows_are_in_the_window():
    transactions, labels = stream([(0, "ann", 0, 1.0, None)] * 3)
    features = compute_features(transactions, labels, hours_of(Aggregate.COUNT))
    assert features["f"].to_pylist() == [1, 2, 3]


def test_a_window_is_open_at_its_start_and_closed_at_its_end():
    transactions, labels = stream([(hour, "ann", 0, 1.0, None) for hour in (0, 1, 2)])
    plain = compute_features(transactions, labels, hours_of(Aggregate.COUNT, window=1))
    delayed = compute_features(transactions, labels, hours_of(Aggregate.COUNT, window=2, delay=1))
    assert plain["f"].to_pylist() == [1, 1, 1]
    assert delayed["f"].to_pylist() == [0, 1, 2]


def test_a_fraud_counts_from_when_its_label_is_known():
    # Found 3 hours later; the window reaches 5 hours back, the label delay alone would be 1.
    payments = [(0, "ann", 0, 1.0, 3), *((hour, "bob", 0, 1.0, None) for hour in (1, 2, 3, 6))]
    transactions, labels = stream(payments)
    spec = hours_of(Aggregate.FRAUD_RATE, window=5, delay=1)
    rates = compute_features(transactions, labels, spec)["f"].to_pylist()
    assert rates == [0, 0, 0, 1 / 3, 0]


def test_a_label_later_than_the_window_never_counts():
    transactions, labels = stream([(0, "a", 0, 1.0, 9), *((h, "a", 0, 1.0, None) for h in (3, 9))])
    spec = hours_of(Aggregate.FRAUD_RATE, window=5)
    assert compute_features(transactions, labels, spec)["f"].to_pylist() == [0, 0, 0]


def test_a_huge_amount_leaves_no_trace_once_it_has_left_the_window():
    amounts = [9e12, *[0.1] * 50]
    payments = [(2 * hour, "ann", 0, amount, None) for hour, amount in enumerate(amounts)]
    transactions, labels = stream(payments)
    spec = hours_of(Aggregate.MEAN_AMOUNT, key=Key.CUSTOMER)
    assert compute_features(transactions, labels, spec)["f"].to_pylist() == amounts


def test_labels_of_other_transactions_count_for_nothing():
    transactions, labels = stream([(hour, "ann", 0, 1.0, 0) for hour in range(4)])
    rates = compute_features(
        transactions.slice(2), labels, hours_of(Aggregate.FRAUD_RATE, window=5)
    )
    assert rates["f"].to_pylist() == [0, 1 / 2]


def test_calendar_features_at_their_edges():
    hours = [6, 7, 24, 24 * 5 + 23, 24 * 6]  # Sunday 06:00, 07:00, Monday, Friday 23:00, Saturday
    transactions, labels = stream([(hour, "ann", 0, 1.0, None) for hour in hours])
    features = compute_features(transactions, labels, HANDBOOK_SPEC)
    assert features["is_weekend"].to_pylist() == [1, 1, 0, 0, 1]
    assert features["is_night"].to_pylist() == [1, 0, 1, 0, 1]


def test_the_last_transactions_are_a_sequence_with_nan_before_the_first():
    payments = [(0, "ann", 0, 5.0, None), (1, "bob", 0, 1.0, None), (3, "ann", 0, 7.0, None)]
    transactions, labels = stream(payments)
    features = compute_features(
        transactions, labels, FeatureSpec(features=last_transactions("customer_id", 2))
    )
    np.testing.assert_array_equal(
        feature_matrix(features), [[np.nan] * 4] * 2 + [[5.0, 3 * 3600, np.nan, np.nan]]
    )


def test_unsorted_transactions_are_refused():
    transactions, labels = stream([(0, "ann", 0, 1.0, None), (1, "ann", 0, 1.0, None)])
    with pytest.raises(DataError, match="not sorted by timestamp"):
        compute_features(transactions.take([1, 0]), labels, HANDBOOK_SPEC)


def test_a_column_that_is_not_there_is_named_with_its_feature():
    transactions, labels = stream([(0, "ann", 0, 1.0, None), (1, "ann", 0, 1.0, None)])
    spec = hours_of(Aggregate.COUNT, key="device")
    with pytest.raises(DataError, match="column 'device', which feature 'f' reads; the transac"):
        compute_features(transactions, labels, spec)


def test_the_default_spec_holds_the_handbooks_features_and_22_more():
    transactions, labels = stream([(hour, "ann", 0, 1.0, None) for hour in range(3)])
    features = compute_features(transactions, labels, DEFAULT_SPEC)
    handbook = compute_features(transactions, labels, HANDBOOK_SPEC)
    assert features.num_columns == handbook.num_columns + 22
    assert features.select(handbook.column_names).equals(handbook)


def test_traffic_counts_payments_and_customers_at_the_terminal_with_this_one_and_no_delay():
    at = [(0, "ann", 0), (1, "bob", 0), (25, "ann", 0), (25, "bob", 1), (26, "eve", 0)]
    transactions, labels = stream([(hour, who, where, 1.0, None) for hour, who, where in at])
    features = compute_features(transactions, labels, FeatureSpec(features=TRAFFIC_FEATURES))
    assert features.to_pydict() == {
        "terminal_count_1d_now": [1, 2, 1, 1, 2],  # a window is open where it begins
        "terminal_customers_1d_now": [1, 2, 1, 1, 2],
        "terminal_count_7d_now": [1, 2, 3, 1, 4],
        "terminal_customers_7d_now": [1, 2, 2, 1, 3],
    }


def test_the_matrix_has_the_columns_side_by_side():
    matrix = feature_matrix(pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0]}))
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[1.0, 3.0], [2.0, 4.0]]
