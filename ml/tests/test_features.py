import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fraud_ml.errors import DataError
from fraud_ml.feature_spec import (
    HANDBOOK_SPEC,
    Aggregate,
    FeatureSpec,
    Key,
    RowFeature,
    RowValue,
    WindowFeature,
)
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.transactions import normalise_labels, normalise_transactions

HOUR = dt.timedelta(hours=1)
START = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)  # a Sunday

# Every aggregate over every key, with and without a delay; windows of hours, so that short
# streams fill, overflow and miss them.
SPEC = FeatureSpec(
    features=(
        *(RowFeature(name=value.value, value=value) for value in RowValue),
        *(
            WindowFeature(
                name=f"{key}_{aggregate}_{window}_{delay}",
                key=key,
                aggregate=aggregate,
                window=window * HOUR,
                delay=delay * HOUR,
            )
            for key in Key
            for aggregate in Aggregate
            for window in (1, 5)
            for delay in (0, 2)
        ),
    )
)

# One payment: hour, customer, terminal, amount, and hours until its label says fraud (None: never).
PAYMENT = st.tuples(
    st.integers(0, 12),
    st.sampled_from(["ann", "bob", "cy"]),
    st.integers(0, 2),
    st.sampled_from([0.0, 0.1, 19.99, 1e-9, 1e12]),
    st.one_of(st.none(), st.integers(0, 12)),
)


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
                    None if wait is None else START + (hour + wait) * HOUR
                    for hour, wait in zip(hours, found, strict=True)
                ],
                pa.timestamp("us", "UTC"),
            ),
        }
    )
    transactions = normalise_transactions(table)
    return transactions, normalise_labels(table, transactions)


def plain_features(transactions, labels, spec):
    """The definitions, read aloud, one row and one window at a time."""
    rows = transactions.to_pylist()
    labels = labels.to_pylist()
    return [
        {feature.name: plain_feature(rows, labels, i, feature) for feature in spec.features}
        for i in range(len(rows))
    ]


def plain_feature(rows, labels, i, feature):
    now = rows[i]["timestamp"]
    if isinstance(feature, RowFeature):
        return {
            RowValue.AMOUNT: rows[i]["amount"],
            RowValue.IS_WEEKEND: float(now.weekday() >= 5),
            RowValue.IS_NIGHT: float(now.hour <= 6),
        }[feature.value]
    last = now - feature.delay
    inside = [
        j
        for j, row in enumerate(rows)
        if row[feature.key] == rows[i][feature.key]
        and last - feature.window < row["timestamp"] <= last
        and (feature.delay or j <= i)
    ]
    if feature.aggregate is Aggregate.COUNT:
        return len(inside)
    if not inside:
        return 0.0
    if feature.aggregate is Aggregate.MEAN_AMOUNT:
        return math.fsum(rows[j]["amount"] for j in inside) / len(inside)
    known = [
        j for j in inside if j != i and labels[j]["is_fraud"] and labels[j]["labelled_at"] <= now
    ]
    return len(known) / len(inside)


@example(payments=[(0, "ann", 0, 1e12, 0), (1, "ann", 0, 0.1, 0), (6, "ann", 0, 0.1, None)])
@given(payments=st.lists(PAYMENT, min_size=1, max_size=25))
def test_features_are_the_plain_definitions(payments):
    transactions, labels = stream(payments)
    features = compute_features(transactions, labels, SPEC)
    expected = plain_features(transactions, labels, SPEC)
    assert features.column_names == list(SPEC.names)
    for i, row in enumerate(features.to_pylist()):
        assert row == pytest.approx(expected[i], rel=1e-15, abs=0)


@given(
    payments=st.lists(PAYMENT, min_size=2, max_size=20),
    future=st.lists(PAYMENT, min_size=20, max_size=20),
    now=st.integers(0, 12),
)
def test_rewriting_the_future_changes_no_feature_of_the_past(payments, future, now):
    def knowing(payment, other):
        hour, customer, terminal, amount, found = payment
        if hour > now:  # not happened yet: another payment may come, after now
            return max(other[0], now + 1), *other[1:]
        if found is None or hour + found > now:  # not labelled yet
            found = None if other[4] is None else max(other[4], now + 1 - hour)
        return hour, customer, terminal, amount, found

    transactions, labels = stream(payments)
    happened = sum(hour <= now for hour, *_ in payments)
    rewritten = [knowing(p, other) for p, other in zip(payments, future, strict=False)]
    other_transactions, other_labels = stream(rewritten)
    assert transactions.slice(0, happened).equals(other_transactions.slice(0, happened))
    features = compute_features(transactions, labels, SPEC).slice(0, happened)
    assert features.equals(
        compute_features(other_transactions, other_labels, SPEC).slice(0, happened)
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


def test_unsorted_transactions_are_refused():
    transactions, labels = stream([(0, "ann", 0, 1.0, None), (1, "ann", 0, 1.0, None)])
    with pytest.raises(DataError, match="not sorted by timestamp"):
        compute_features(transactions.take([1, 0]), labels, HANDBOOK_SPEC)


def test_the_matrix_has_the_columns_side_by_side():
    matrix = feature_matrix(pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0]}))
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[1.0, 3.0], [2.0, 4.0]]
