"""Prequential validation: train on some days, wait for labels, test on the days after.

The protocol is the Fraud Detection Handbook's, sections 4.2 and 5.3 (Le Borgne et al., 2022).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml._columns import microseconds
from fraud_ml.errors import DataError

Ints = npt.NDArray[np.int64]

_EPOCH = dt.date(1970, 1, 1)
_DAY = microseconds(dt.timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of one fold, ascending."""

    train: Ints
    test: Ints


def prequential_split(
    transactions: pa.Table,
    labels: pa.Table,
    *,
    train_start: dt.date,
    train_days: int = 7,
    delay_days: int = 7,
    test_days: int = 7,
) -> Split:
    """The rows to train on and the rows to test on.

    Train days come first, then ``delay_days`` on which their labels are awaited, then test days;
    all are calendar days in UTC. Rows whose label is not known by the first test day are not
    trained on, and rows without any label are not tested on.

    A customer known to be compromised is blocked, and nobody needs a model to find it again: so
    customers with a fraud on the train days are left out of the test, and out of test day ``d``
    (0, 1, ...) those with a fraud up to delay day ``d - 1``.

    Args:
        transactions: what :func:`~fraud_ml.transactions.normalise_transactions` returned.
        labels: what :func:`~fraud_ml.transactions.normalise_labels` returned: row by row the same.
        train_start: first train day.
        train_days: at least 1.
        delay_days: at least 0.
        test_days: at least 1.

    Raises:
        DataError: there are no transactions to train on or to test on, or none to train on is a
            fraud; the message gives the days that the data covers.
        ValueError: a number of days is too small, or the tables are not row by row the same.
    """
    _check_days(train_days=train_days, delay_days=delay_days, test_days=test_days)
    if not transactions.column("transaction_id").equals(labels.column("transaction_id")):
        raise ValueError("labels must be row by row those of the transactions: normalise_labels")
    first = (train_start - _EPOCH).days
    test_first = first + train_days + delay_days
    day = transactions.column("timestamp").cast(pa.int64()).to_numpy() // _DAY
    labelled = labels.column("is_fraud").is_valid().to_numpy()
    fraud = labels.column("is_fraud").fill_null(fill_value=False).to_numpy()
    labelled_at = labels.column("labelled_at").cast(pa.int64()).fill_null(0).to_numpy()

    known = labelled & (labelled_at <= test_first * _DAY)
    train = np.flatnonzero((day >= first) & (day < first + train_days) & known)
    compromised_on = _first_fraud_day(transactions, fraud & (day >= first), day)
    # On test day d, `day - delay_days - 1` is delay day d - 1, or for d = 0 the last train day.
    is_compromised = compromised_on <= day - delay_days - 1
    in_test = (day >= test_first) & (day < test_first + test_days)
    test = np.flatnonzero(in_test & labelled & ~is_compromised)

    advice = f"the transactions cover {_date(day.min())} to {_date(day.max())}: move train_start"
    trained = f"to train on between {train_start} and {_date(first + train_days - 1)}"
    tested = f"to test on between {_date(test_first)} and {_date(test_first + test_days - 1)}"
    for what, rows in ((trained, train), (tested, test)):
        if len(rows) == 0:
            raise DataError(f"no labelled transaction {what}; {advice}")
    if not fraud[train].any():
        raise DataError(f"no fraud among the {len(train)} transactions {trained}; {advice}")
    return Split(train=train, test=test)


def _check_days(*, train_days: int, delay_days: int, test_days: int) -> None:
    for name, days, least in (
        ("train_days", train_days, 1),
        ("delay_days", delay_days, 0),
        ("test_days", test_days, 1),
    ):
        if days < least:
            raise ValueError(f"{name} must be at least {least}, got {days}")


def _first_fraud_day(transactions: pa.Table, fraud: npt.NDArray[np.bool_], day: Ints) -> Ints:
    """Of each row, the day of its customer's first ``fraud``; a day after all where none."""
    ids = transactions.column("customer_id").combine_chunks().dictionary_encode()
    customer: Ints = ids.indices.to_numpy()
    first = np.full(len(ids.dictionary), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(first, customer[fraud], day[fraud])
    of_row: Ints = first[customer]
    return of_row


def _date(day: int) -> dt.date:
    return _EPOCH + dt.timedelta(days=int(day))
