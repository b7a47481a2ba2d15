"""Features of all transactions at once, from a :class:`~fraud_ml.feature_spec.FeatureSpec`."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml import _column_values, _key_history
from fraud_ml._columns import microseconds
from fraud_ml._key_blocks import KeyBlocks
from fraud_ml._labels import KnownFrauds
from fraud_ml._row_values import row_values
from fraud_ml._windows import Floats, Ints
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import (
    ColumnFeature,
    FeatureSpec,
    RowFeature,
    Unless,
    WindowFeature,
)

_THREADS = min(os.cpu_count() or 1, 8)  # each needs some 20 MB


def compute_features(
    transactions: pa.Table, labels: pa.Table, spec: FeatureSpec, *, arrival_order: bool = False
) -> pa.Table:
    """The features of ``spec``, one ``float64`` column each, row by row with ``transactions``.

    A window covers ``(t - delay - window, t - delay]`` of the transaction's key, in time rounded
    down to the spec's resolution. Without a delay it includes the transaction itself and, of
    those at the same instant, the ones in earlier rows. A fraud counts from the later of
    ``timestamp + delay`` and its ``labelled_at``, rounded up, until it leaves the window or a
    newer label says otherwise, and never for its own transaction: no row depends on a
    transaction or a label from after it. Values depend on what is in the window alone, to the
    last bit. Times are in seconds. A feature with ``unless`` takes some known frauds for none:
    those whose other feature, when they came, was above the bound.

    A :class:`~fraud_ml.feature_spec.ColumnFeature` is NaN where its column is null, a category
    otherwise the code of :func:`~fraud_ml._column_values.category_code`. A transaction whose key
    is null has no history of that key: its windows are NaN, and it is in nobody else's.

    ========================  ===================================================================
    ``amount``                the amount, in the user's currency
    ``is_weekend``            1 on Saturday and Sunday (UTC), else 0
    ``is_night``              1 from 00:00 until before 07:00 (UTC), else 0
    ``count``                 transactions in the window
    ``sum_amount``            the sum of their amounts
    ``mean_amount``           their mean amount; as all below, 0 where there is none
    ``max_amount``            the largest of their amounts
    ``std_amount``            the standard deviation (of the population) of their amounts
    ``amount_to_mean``        amount / mean amount in the window, without this transaction
    ``amount_to_median``      amount / the usual amount: the median of the key's last
                              ``usual_over`` transactions before this one
    ``amount_robust_z``       (amount - usual) / deviation from it: 1.4826 times the median
                              distance, at least a tenth of the usual amount
    ``max_amount_to_median``  the largest ``amount_to_median`` in the window
    ``unusual_count``         how many of those exceed ``unusual_ratio``
    ``time_since_last``       since the window's last transaction before this one;
                              delay + window where there is none
    ``history_length``        since the key's first transaction
    ``distinct``              different values of the column ``of`` in the window; null is none
    ``nth_last_amount``       the amount of the key's ``nth``-last transaction before this one, in
                              order of arrival; NaN where there were fewer
    ``nth_last_age``          the time since that transaction; NaN as well
    ``fraud_count``           frauds known by now in the window
    ``fraud_rate``            the same / transactions in the window
    ``last_label``            share of known frauds at the window's last instant: 0 or 1, but for
                              ties
    ``fraud_age``             since the window's last known fraud; delay + window without one
    ``fraud_run_age``         since the start of the current run: instants in a row, up to the
                              window's last, that have a known fraud each; 0 where it has none
    ``fraud_run_length``      how many instants that run has
    ``last_fraud_amount``     the amount of the window's last known fraud, of several at its instant
                              the smallest; 0 without one
    ========================  ===================================================================

    Args:
        transactions: what :func:`~fraud_ml.transactions.normalise_transactions` returned, or more
            columns: N rows.
        labels: columns ``transaction_id``, ``is_fraud``, ``labelled_at``, in any order. Those
            not known yet (nulls) and those of other transactions count for nothing. Where a
            transaction has several, the newest that is known counts.
        spec: which features; ``DEFAULT_SPEC`` if nothing speaks against it.
        arrival_order: the rows stand in the order of their arrival, some of them late. A row
            older than its key's newest so far counts for that key as if it happened with the
            newest. This is what :class:`~fraud_ml.feature_state.FeatureState` does.

    Raises:
        DataError: ``transactions`` are not sorted by timestamp, and not in ``arrival_order``; or
            lack a column that the spec reads; or a number in it is infinite.
    """
    _column_values.check_columns(spec, transactions.column_names)
    rows = _Rows(transactions, labels, spec)
    if not arrival_order and (np.diff(rows.time) < 0).any():
        raise DataError(
            "transactions are not sorted by timestamp; pass them through"
            " normalise_transactions first, or say that they are in arrival_order"
        )
    for feature in spec.features:
        if not isinstance(feature, WindowFeature):
            rows.values[feature.name] = rows.compute(feature)
    with ThreadPoolExecutor(_THREADS) as pool:  # NumPy lets go of the interpreter's lock
        for features in _one_after_the_other(spec):
            keys = list(pool.map(rows.of_key, _by_key(features)))
            computing = [pool.map(key.compute, range(len(key))) for key in keys]
            for key, blocks in zip(keys, computing, strict=True):
                deque(blocks, maxlen=0)  # waits until all are computed
                rows.values |= dict(zip(key.names, pool.map(key.take, key.names), strict=True))
    return pa.table({name: rows.values[name] for name in spec.names})


def feature_matrix(features: pa.Table) -> npt.NDArray[np.float32]:
    """The columns of ``features`` side by side, as a model takes them: shape ``(N, F)``.

    What is missing is NaN. Codes of categories are exact.
    """
    matrix = np.empty((features.num_rows, features.num_columns), dtype=np.float32)
    for column, values in enumerate(features.itercolumns()):
        matrix[:, column] = values.to_numpy()
    return matrix


def _one_after_the_other(spec: FeatureSpec) -> tuple[list[WindowFeature], list[WindowFeature]]:
    """Features of windows, and those that need the values of some of them."""
    windows = [feature for feature in spec.features if isinstance(feature, WindowFeature)]
    deciding = {unless.feature for unless in spec.unless}
    keys = {feature.columns for feature in windows if feature.name in deciding}
    # All of a key that can be, at once: they share intermediate results.
    first = [f for f in windows if f.columns in keys and f.unless is None]
    return first, [feature for feature in windows if feature not in first]


def _by_key(features: list[WindowFeature]) -> list[list[WindowFeature]]:
    """Features that share intermediate results."""
    groups: dict[tuple[str, ...], list[WindowFeature]] = {}
    for feature in features:
        groups.setdefault(feature.columns, []).append(feature)
    return list(groups.values())


class _Rows:
    """Transactions and labels as arrays; each intermediate result is computed once."""

    def __init__(self, transactions: pa.Table, labels: pa.Table, spec: FeatureSpec) -> None:
        self._transactions = transactions
        self._labels = labels
        self.spec = spec
        self.time: Ints = transactions.column("timestamp").cast(pa.int64()).to_numpy()
        self._resolution = microseconds(spec.resolution)
        self._codes: dict[str, Ints] = {}
        self.values: dict[str, Floats] = {}
        """Of each feature that is computed: shape ``(N,)``."""

    def compute(self, feature: RowFeature | ColumnFeature) -> Floats:
        """The feature's values: shape ``(N,)``."""
        if isinstance(feature, ColumnFeature):
            return _column_values.column_of_table(self._transactions, feature)
        return row_values(feature.value, self.time, self.amount)

    def of_key(self, features: list[WindowFeature]) -> KeyBlocks:
        """What computes ``features``, all of the same key."""
        return KeyBlocks(self, features)

    @cached_property
    def instant(self) -> Ints:
        """Shape ``(N,)``."""
        return self.time if self._resolution == 1 else self.time // self._resolution

    def codes(self, column: str) -> Ints:
        """The values of a column as 0, 1, ..., and -1 where it is null: shape ``(N,)``."""
        if column not in self._codes:
            self._codes[column] = _key_history.codes(self._transactions, column)
        return self._codes[column]

    @cached_property
    def amount(self) -> Floats:
        """Shape ``(N,)``."""
        return np.asarray(self._transactions.column("amount").to_numpy(), dtype=np.float64)

    def frauds(self, unless: Unless | None) -> KnownFrauds:
        """Which rows are known to be frauds, and when, but for those left out."""
        if unless is None:
            return self._all_frauds
        is_above = self.values[unless.feature] > unless.bound  # NaN is not
        return self._all_frauds.only(~is_above)

    @cached_property
    def _all_frauds(self) -> KnownFrauds:
        return KnownFrauds.of(self._transactions, self._labels, self._resolution)
