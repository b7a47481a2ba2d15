import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fraud_ml.errors import DataError
from fraud_ml.splits import prequential_split
from fraud_ml.transactions import normalise_labels, normalise_transactions

START = dt.date(2018, 4, 1)


def dataset(payments, **label_columns):
    """Transactions and labels of (day, customer, is_fraud), each at 23:59 UTC of its day."""
    days, customers, frauds = zip(*payments, strict=True)
    midnight = dt.datetime.combine(START, dt.time(23, 59), dt.UTC)
    table = pa.table(
        {
            "transaction_id": range(len(payments)),
            "timestamp": [midnight + dt.timedelta(days=day) for day in days],
            "customer_id": customers,
            "terminal_id": [0] * len(payments),
            "amount": [1.0] * len(payments),
            "is_fraud": frauds,
        }
        | label_columns
    )
    transactions = normalise_transactions(table)
    return transactions, normalise_labels(table, transactions)


def split(payments, *, train_start=START, **days):
    return prequential_split(*dataset(payments), train_start=train_start, **days)


def plain_split(payments, *, train_days, delay_days, test_days):
    """The handbook's get_train_test_set, read aloud, on rows in time order."""
    train = [i for i, (day, _, _) in enumerate(payments) if day < train_days]
    known = {payments[i][1] for i in train if payments[i][2]}
    test = []
    for d in range(test_days):
        delay_day = train_days + d - 1
        known |= {customer for day, customer, fraud in payments if day == delay_day and fraud}
        today = train_days + delay_days + d
        test += [i for i, (day, c, _) in enumerate(payments) if day == today and c not in known]
    return train, test


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 5), st.booleans()), min_size=10, max_size=60
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_the_split_is_the_handbooks(payments, train_days, delay_days, test_days):
    payments.sort(key=lambda payment: payment[0])
    days = {"train_days": train_days, "delay_days": delay_days, "test_days": test_days}
    train, test = plain_split(payments, **days)
    assume(test and any(payments[i][2] for i in train))
    now = np.full(len(payments), np.datetime64(START, "us")) + np.timedelta64(1, "D") * np.array(
        [day for day, _, _ in payments]
    )
    known_at_once = pa.array(now + np.timedelta64(1, "D"), pa.timestamp("us", "UTC"))
    transactions, labels = dataset(payments, labelled_at=known_at_once)
    fold = prequential_split(transactions, labels, train_start=START, **days)
    assert fold.train.tolist() == train
    assert fold.test.tolist() == test


ONE_EACH = [(0, "a", True), (1, "b", False), (14, "c", False)]


def test_a_customer_found_in_training_is_not_tested_on():
    assert split([*ONE_EACH, (15, "a", True)]).test.tolist() == [2]


def test_a_customer_found_in_the_delay_leaves_a_day_after_the_same_day_of_the_test():
    payments = [*ONE_EACH, (8, "d", True), (15, "d", True), (16, "d", True)]
    fold = split(sorted(payments))
    tested = {(sorted(payments)[i][0], sorted(payments)[i][1]) for i in fold.test}
    assert tested == {(14, "c"), (15, "d")}


def test_a_fraud_before_the_training_is_forgotten():
    payments = [(0, "c", True), (1, "a", True), (15, "c", False)]
    fold = split(payments, train_start=START + dt.timedelta(days=1))
    assert fold.train.tolist() == [1]
    assert fold.test.tolist() == [2]


def test_a_label_unknown_on_the_first_test_day_is_not_trained_on():
    found = [dt.datetime(2018, 4, day, tzinfo=dt.UTC) for day in (15, 16, 30)]
    labelled_at = pa.array(found, pa.timestamp("us", "UTC"))
    fold = prequential_split(*dataset(ONE_EACH, labelled_at=labelled_at), train_start=START)
    assert fold.train.tolist() == [0]


def test_rows_without_a_label_are_neither_trained_nor_tested_on():
    fold = split([*ONE_EACH, (14, "d", None), (15, "e", None)])
    assert fold.test.tolist() == [2]
    assert split([(0, "z", None), *ONE_EACH]).train.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("payments", "message"),
    [
        (
            [(1, "a", False), (3, "b", True)],
            "to test on between 2018-04-15 and 2018-04-21; the transactions cover 2018-04-02 to"
            " 2018-04-04: move train_start",
        ),
        ([(14, "a", False)], "to train on between 2018-04-01 and 2018-04-07; .* cover 2018-04-15"),
        (
            [(0, "a", False), (14, "b", True)],
            "no fraud among the 1 transactions to train on between 2018-04-01 and 2018-04-07",
        ),
    ],
)
def test_a_fold_with_nothing_in_it_is_refused(payments, message):
    with pytest.raises(DataError, match=message):
        split(payments)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ({"train_days": 0}, "train_days must be at least 1, got 0"),
        ({"delay_days": -1}, "delay_days must be at least 0, got -1"),
        ({"test_days": 0}, "test_days must be at least 1, got 0"),
    ],
)
def test_too_few_days_are_refused(days, message):
    with pytest.raises(ValueError, match=message):
        split(ONE_EACH, **days)


def test_labels_that_are_not_row_by_row_the_same_are_refused():
    transactions, labels = dataset(ONE_EACH)
    with pytest.raises(ValueError, match="row by row"):
        prequential_split(transactions, labels.slice(1), train_start=START)
