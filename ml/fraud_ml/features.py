"""Features of all transactions at once, from a :class:`~fraud_ml.feature_spec.FeatureSpec`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml._columns import microseconds
from fraud_ml._windows import Floats, History, Ints, PrefixSums
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import (
    Aggregate,
    FeatureSpec,
    Key,
    RowFeature,
    RowValue,
    WindowFeature,
)

_DAY = microseconds(dt.timedelta(days=1))
_HOUR = microseconds(dt.timedelta(hours=1))


def compute_features(transactions: pa.Table, labels: pa.Table, spec: FeatureSpec) -> pa.Table:
    """The features of ``spec``, one ``float64`` column each, row by row with ``transactions``.

    A window covers ``(t - delay - window, t - delay]`` of the transaction's customer or terminal.
    Without a delay it includes the transaction itself and, of those at the same instant, the ones
    in earlier rows. A fraud counts from the later of ``timestamp + delay`` and its ``labelled_at``
    until it leaves the window, and never for its own transaction: no row depends on a transaction
    or a label from after it. Values depend on what is in the window alone, to the last bit.

    ======================  =====================================================================
    ``amount``              the amount, in the user's currency
    ``is_weekend``          1 on Saturday and Sunday (UTC), else 0
    ``is_night``            1 from 00:00 until before 07:00 (UTC), else 0
    ``count``               transactions in the window
    ``mean_amount``         their mean amount; 0 where there is none
    ``fraud_rate``          frauds known by now among them / transactions among them; 0 where none
    ======================  =====================================================================

    Args:
        transactions: what :func:`~fraud_ml.transactions.normalise_transactions` returned: N rows.
        labels: columns ``transaction_id``, ``is_fraud``, ``labelled_at``, in any order. Those
            not known yet (nulls) and those of other transactions count for nothing.
        spec: which features; ``HANDBOOK_SPEC`` for the handbook's 15.

    Raises:
        DataError: ``transactions`` are not sorted by timestamp.
    """
    rows = _Rows(transactions, labels)
    return pa.table({feature.name: rows.compute(feature) for feature in spec.features})


def feature_matrix(features: pa.Table) -> npt.NDArray[np.float32]:
    """The columns of ``features`` side by side, as a model takes them: shape ``(N, F)``."""
    matrix = np.empty((features.num_rows, features.num_columns), dtype=np.float32)
    for column, values in enumerate(features.itercolumns()):
        matrix[:, column] = values.to_numpy()
    return matrix


class _Rows:
    """Transactions and labels as arrays; each intermediate result is computed once."""

    def __init__(self, transactions: pa.Table, labels: pa.Table) -> None:
        self._transactions = transactions
        self._labels = labels
        self._time: Ints = transactions.column("timestamp").cast(pa.int64()).to_numpy()
        if (np.diff(self._time) < 0).any():
            raise DataError(
                "transactions are not sorted by timestamp; pass them through"
                " normalise_transactions first"
            )
        self._histories: dict[Key, _KeyHistory] = {}

    def compute(self, feature: RowFeature | WindowFeature) -> Floats:
        """The feature's values: shape ``(N,)``."""
        if isinstance(feature, RowFeature):
            return _ROW_VALUES[feature.value](self)
        if feature.key not in self._histories:
            codes = _codes(self._transactions.column(feature.key.value))
            self._histories[feature.key] = _KeyHistory(self, History.of(self._time, codes))
        return self._histories[feature.key].compute(feature)

    @cached_property
    def amount(self) -> Floats:
        """Shape ``(N,)``."""
        return np.asarray(self._transactions.column("amount").to_numpy(), dtype=np.float64)

    def is_weekend(self) -> Floats:
        """Shape ``(N,)``; the epoch, day 0, was a Thursday, and Monday is 0."""
        return ((self._time // _DAY + 3) % 7 >= 5).astype(np.float64)

    def is_night(self) -> Floats:
        """Shape ``(N,)``."""
        return (self._time % _DAY // _HOUR <= 6).astype(np.float64)

    @cached_property
    def frauds(self) -> tuple[Ints, Ints, Ints]:
        """Of each known fraud: row, time of the transaction, time of the label: ``(E,)`` each."""
        known = pc.and_(
            self._labels.column("is_fraud"), self._labels.column("labelled_at").is_valid()
        )
        labels = self._labels.filter(known)
        row = pc.index_in(
            labels.column("transaction_id"), value_set=self._transactions.column("transaction_id")
        )
        labelled_at = (
            labels.column("labelled_at").cast(pa.int64()).filter(row.is_valid()).to_numpy()
        )
        row = row.drop_null().to_numpy().astype(np.int64)
        return row, self._time[row], labelled_at


_ROW_VALUES: dict[RowValue, Callable[[_Rows], Floats]] = {
    RowValue.AMOUNT: lambda rows: rows.amount,
    RowValue.IS_WEEKEND: _Rows.is_weekend,
    RowValue.IS_NIGHT: _Rows.is_night,
}


class _KeyHistory:
    """The windows over one key column."""

    def __init__(self, rows: _Rows, history: History) -> None:
        self._rows = rows
        self._history = history
        self._bounds: dict[int, Ints] = {}

    def compute(self, feature: WindowFeature) -> Floats:
        delay, window = microseconds(feature.delay), microseconds(feature.window)
        start = self._first_after(delay + window)
        stop = self._stop(delay)
        count = stop - start
        match feature.aggregate:
            case Aggregate.COUNT:
                by_position: npt.NDArray[np.generic] = count
            case Aggregate.MEAN_AMOUNT:
                by_position = _ratio(self._amount_sums.between(start, stop), count)
            case Aggregate.FRAUD_RATE:
                by_position = _ratio(self._frauds_known(delay, window), count)
        return self._history.to_rows(by_position)

    def _first_after(self, delay: int) -> Ints:
        if delay not in self._bounds:
            self._bounds[delay] = self._history.first_after(delay)
        return self._bounds[delay]

    def _stop(self, delay: int) -> Ints:
        # Without a delay the window ends with the row itself, not with the last of its instant.
        if delay == 0:
            return np.arange(1, len(self._history.order) + 1)
        return self._first_after(delay)

    @cached_property
    def _amount_sums(self) -> PrefixSums:
        return PrefixSums.of(self._rows.amount[self._history.order])

    def _frauds_known(self, delay: int, window: int) -> Ints:
        row, time, labelled_at = self._rows.frauds
        return self._history.events_in_force(
            row,
            start=np.maximum(time + delay, labelled_at),
            stop=time + delay + window,
        )


def _codes(keys: pa.ChunkedArray) -> Ints:
    """Keys as 0, 1, ...: shape ``(N,)``."""
    return np.asarray(keys.combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)


def _ratio(numerator: npt.NDArray[np.generic], count: Ints) -> Floats:
    ratio: Floats = np.divide(numerator, count, out=np.zeros(len(count)), where=count > 0)
    return ratio
