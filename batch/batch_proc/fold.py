"""One fold of the handbook's protocol: the arrays to train on and the arrays to test on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batch_proc.history import History
from batch_proc.measures import Measure
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.metrics import average_precision, card_precision_at_k, roc_auc
from fraud_ml.splits import Split, prequential_split
from fraud_ml.transactions import normalise_transactions

CARDS_A_DAY = 100  # what the handbook's investigators can check


@dataclass(frozen=True, kw_only=True, slots=True)
class Days:
    """The days of a fold, in UTC: when it starts, and how long each part lasts."""

    train_start: dt.date
    train: int
    delay: int
    test: int

    @classmethod
    def latest(cls, last: dt.date, *, train: int, delay: int, test: int) -> Days:
        """The days whose last test day is ``last``, the last day of the transactions."""
        start = last - dt.timedelta(days=train + delay + test - 1)
        return cls(train_start=start, train=train, delay=delay, test=test)

    @property
    def test_start(self) -> dt.date:
        """The first test day."""
        return self.train_start + dt.timedelta(days=self.train + self.delay)

    @property
    def end(self) -> dt.date:
        """The day after the last test day."""
        return self.test_start + dt.timedelta(days=self.test)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Transactions as a model takes them: N of them, with F features."""

    features: npt.NDArray[np.float32]
    """Shape (N, F)."""
    is_fraud: npt.NDArray[np.bool_]
    """Shape (N,)."""
    customer: npt.NDArray[np.int32]
    """A number for each customer, in order of appearance here: shape (N,)."""
    day: npt.NDArray[np.int32]
    """Days since 1970-01-01, shape (N,)."""
    number: npt.NDArray[np.int64]
    """Of each row in the history, shape (N,)."""

    def __len__(self) -> int:
        return len(self.is_fraud)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """What one training sees, and what it is tested on."""

    train: Rows
    test: Rows

    def with_features(self, columns: Sequence[int]) -> Fold:
        """The fold with some of the features alone, in the order of ``columns``."""

        def of(rows: Rows) -> Rows:
            # Row by row, as they were: indexing gives column by column.
            return replace(rows, features=np.ascontiguousarray(rows.features[:, columns]))

        return Fold(train=of(self.train), test=of(self.test))


def make_fold(history: History, days: Days, spec: FeatureSpec) -> Fold:
    """The rows of the train days and of the test days, with their features.

    Raises:
        DataError: there are no transactions, or no frauds, on these days.
    """
    return make_folds(history, [days], spec)[0]


def make_folds(history: History, all_days: Sequence[Days], spec: FeatureSpec) -> list[Fold]:
    """A fold for each of ``all_days``; features are computed once.

    Raises:
        DataError: there are no transactions, or no frauds, on the days of one of them.
    """
    history = _until(history, max(days.end for days in all_days))
    splits = [_split(history, days) for days in all_days]  # first: what is wrong shows early
    features = compute_features(history.transactions, history.labels, spec)
    return [_fold(history, features, split) for split in splits]


def fold_of(history: History, features: pa.Table, days: Days) -> Fold:
    """The rows of the train days and of the test days, whose features are known.

    Args:
        history: at least of those days and the delay between them.
        features: a column a feature, row by row the history's.
        days: as they follow each other.

    Raises:
        DataError: as :func:`make_fold`.
    """
    return _fold(history, features, _split(history, days))


def _fold(history: History, features: pa.Table, split: Split) -> Fold:
    return Fold(
        train=_rows(history, features, split.train), test=_rows(history, features, split.test)
    )


def _split(history: History, days: Days) -> Split:
    split = prequential_split(
        history.transactions,
        history.labels,
        train_start=days.train_start,
        train_days=days.train,
        delay_days=days.delay,
        test_days=days.test,
    )
    if not _is_fraud(history)[split.test].any():
        raise DataError(
            f"no fraud among the {len(split.test)} transactions to test on between"
            f" {days.test_start} and {days.end - dt.timedelta(days=1)}: nothing could be measured;"
            " move --train-start or give more --test-days"
        )
    return split


def features_of(
    rows: Rows, history: History, days: Days, spec: FeatureSpec
) -> npt.NDArray[np.float32]:
    """Of rows of the fold of ``days``, the features that ``spec`` says: shape (N, F).

    Raises:
        DataError: the history lacks a column that the spec reads.
    """
    history = _until(history, days.end)
    transactions = normalise_transactions(history.transactions, spec)
    features = compute_features(transactions, history.labels, spec)
    return feature_matrix(features.take(rows.number))


def quality(test: Rows, score: npt.NDArray[np.float32]) -> list[Measure]:
    """The handbook's three metrics of the scores of the test rows.

    Args:
        test: N transactions with at least one fraud.
        score: probabilities of fraud, shape (N,).
    """
    cards = card_precision_at_k(test.day, test.customer, test.is_fraud, score, k=CARDS_A_DAY)
    return [
        Measure("auc", roc_auc(test.is_fraud, score), "", "area under the ROC curve"),
        Measure("ap", average_precision(test.is_fraud, score), "", "average precision"),
        Measure("cp100", cards, "", f"card precision at {CARDS_A_DAY} a day"),
    ]


def _until(history: History, end: dt.date) -> History:
    """What happened before `end`: features look back, so the rest would only cost time."""
    midnight = dt.datetime.combine(end, dt.time(), tzinfo=dt.UTC)
    before = pc.less(history.transactions.column("timestamp"), pa.scalar(midnight))
    n_rows = pc.sum(before).as_py()  # sorted by time, so they come first
    return History(history.transactions.slice(0, n_rows), history.labels.slice(0, n_rows))


def _rows(history: History, features: pa.Table, rows: npt.NDArray[np.int64]) -> Rows:
    taken = history.transactions.select(["customer_id", "timestamp"]).take(rows)
    customer = taken.column("customer_id").combine_chunks().dictionary_encode()
    return Rows(
        features=feature_matrix(features.take(rows)),
        is_fraud=_is_fraud(history)[rows],
        customer=customer.indices.to_numpy(),
        day=taken.column("timestamp").cast(pa.date32()).cast(pa.int32()).to_numpy(),
        number=rows,
    )


def _is_fraud(history: History) -> npt.NDArray[np.bool_]:
    known: npt.NDArray[np.bool_] = history.labels["is_fraud"].fill_null(fill_value=False).to_numpy()
    return known
