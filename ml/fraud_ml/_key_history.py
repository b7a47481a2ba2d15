"""The aggregates over the history of keys, for all their rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml import _formulas
from fraud_ml._columns import microseconds
from fraud_ml._labels import KnownFrauds, LabelWindow
from fraud_ml._once import once
from fraud_ml._windows import (
    Floats,
    History,
    Ints,
    PrefixSums,
    covering,
    from_square_limbs,
    highest_between,
    n_up_to,
    square_limbs_of,
)
from fraud_ml.feature_spec import OF_LABELS, Aggregate, FeatureSpec, Unless, WindowFeature

_CHUNK = 2**11  # rows whose pasts are sorted at a time: in a core's cache
_Values = npt.NDArray[np.generic]


class Rows(Protocol):
    """What a history takes of its rows."""

    spec: FeatureSpec

    @property
    def amount(self) -> Floats:
        """Shape ``(N,)``."""

    def codes(self, column: str) -> Ints:
        """The values of a column as 0, 1, ..., and -1 where it is null: shape ``(N,)``."""


def codes(transactions: pa.Table, column: str) -> Ints:
    """The values of a column as 0, 1, ..., and -1 where it is null: shape ``(N,)``."""
    indices = transactions.column(column).combine_chunks().dictionary_encode().indices
    return np.asarray(indices.fill_null(-1).to_numpy(), dtype=np.int64)


class KeyHistory:
    """The windows over the history of some keys; each intermediate result is computed once."""

    def __init__(
        self, rows: Rows, history: History, frauds: Mapping[Unless | None, KnownFrauds]
    ) -> None:
        self._rows = rows
        self._resolution = microseconds(rows.spec.resolution)
        self._history = history
        self._frauds = frauds
        self._bounds: dict[int, Ints] = {}
        self._labels: dict[tuple[Unless | None, int, int], LabelWindow] = {}

    def compute(self, feature: WindowFeature) -> _Values:
        """The feature's values by position: shape ``(N,)``."""
        if feature.window is None:
            return self._of_all_the_past(feature)
        delay = microseconds(feature.delay) // self._resolution
        window = microseconds(feature.window) // self._resolution
        if feature.aggregate in OF_LABELS:
            return self._of_labels(feature, delay, window)
        return self._of_amounts(feature, delay, window)

    def _of_all_the_past(self, feature: WindowFeature) -> _Values:
        match feature.aggregate:
            case Aggregate.HISTORY_LENGTH:
                return self._seconds_since(self._history.first)
            case Aggregate.AMOUNT_TO_MEDIAN:
                return self._to_usual
            case Aggregate.AMOUNT_ROBUST_Z:
                return self._usual_and_z[1]
        nth = np.arange(len(self._amount)) - (feature.nth or 0)
        is_known = nth >= self._history.first
        nth = np.where(is_known, nth, 0)
        is_age = feature.aggregate is Aggregate.NTH_LAST_AGE
        return np.where(is_known, self._seconds_since(nth) if is_age else self._amount[nth], np.nan)

    def _of_amounts(self, feature: WindowFeature, delay: int, window: int) -> _Values:
        start, stop = self._first_after(delay + window), self._stop(delay)
        match feature.aggregate:
            case Aggregate.COUNT:
                return stop - start
            case Aggregate.SUM_AMOUNT:
                return self._amount_sums.between(start, stop)
            case Aggregate.MEAN_AMOUNT:
                return _formulas.ratio(self._amount_sums.between(start, stop), stop - start)
            case Aggregate.MAX_AMOUNT:
                return highest_between(self._amount, start, stop)
            case Aggregate.STD_AMOUNT:
                total = self._amount_sums.between(start, stop)
                squares = (limb[stop] - limb[start] for limb in self._square_sums)
                return _formulas.deviation(stop - start, total, from_square_limbs(*squares))
            case Aggregate.AMOUNT_TO_MEAN:
                before = stop if delay else stop - 1
                total = self._amount_sums.between(start, before)
                return _formulas.ratio(self._amount, _formulas.ratio(total, before - start))
            case Aggregate.MAX_AMOUNT_TO_MEDIAN:
                return highest_between(self._to_usual, start, stop)
            case Aggregate.UNUSUAL_COUNT:
                return self._unusual_sums[stop] - self._unusual_sums[start]
            case Aggregate.DISTINCT:
                return self._distinct(feature.of or "", start)
            case _:  # Aggregate.TIME_SINCE_LAST
                last = (stop if delay else stop - 1) - 1
                longest = (delay + window) * self._resolution / 1e6
                return np.where(last >= start, self._seconds_since(last), longest)

    def _of_labels(self, feature: WindowFeature, delay: int, window: int) -> _Values:
        start, stop = self._first_after(delay + window), self._stop(delay)
        shared = feature.unless, delay, window
        if shared not in self._labels:
            self._labels[shared] = LabelWindow(
                self._history, self._frauds[feature.unless], start, stop, delay, window
            )
        labels = self._labels[shared]
        match feature.aggregate:
            case Aggregate.FRAUD_COUNT:
                return labels.fraud_count()
            case Aggregate.FRAUD_RATE:
                return _formulas.ratio(labels.fraud_count(), stop - start)
            case Aggregate.LAST_LABEL:
                return labels.last_label()
            case Aggregate.FRAUD_AGE:
                last = labels.last_fraud()
                longest = (delay + window) * self._resolution / 1e6
                return np.where(last >= 0, self._seconds_since(last), longest)
            case Aggregate.FRAUD_RUN_AGE:
                since = labels.run_start
                ongoing = since < stop
                return np.where(ongoing, self._seconds_since(np.where(ongoing, since, 0)), 0.0)
            case Aggregate.FRAUD_RUN_LENGTH:
                return labels.run_length()
            case _:  # Aggregate.LAST_FRAUD_AMOUNT
                return labels.last_fraud_amount(self._amount)

    def _first_after(self, delay: int) -> Ints:
        if delay not in self._bounds:
            self._bounds[delay] = self._history.first_after(delay)
        return self._bounds[delay]

    def _stop(self, delay: int) -> Ints:
        # Without a delay the window ends with the row itself, not with the last of its instant.
        if delay == 0:
            return np.arange(1, len(self._history.row) + 1)
        return self._first_after(delay)

    def _seconds_since(self, position: Ints) -> Floats:
        instant = self._history.instant
        return (instant - instant[position]) * self._resolution / 1e6

    @once
    def _amount(self) -> Floats:
        return self._rows.amount[self._history.row]

    @once
    def _amount_sums(self) -> PrefixSums:
        return PrefixSums.of(self._amount)

    @once
    def _square_sums(self) -> tuple[Ints, ...]:
        return tuple(_counts(limb.astype(np.int64)) for limb in square_limbs_of(self._amount))

    @once
    def _to_usual(self) -> Floats:
        return _formulas.ratio(self._amount, self._usual_and_z[0])

    @once
    def _unusual_sums(self) -> Ints:
        return _counts((self._to_usual > self._rows.spec.unusual_ratio).astype(np.int64))

    @once
    def _usual_and_z(self) -> tuple[Floats, Floats]:
        """Median of the key's last few amounts, and how far this one is from it: ``(N,)``."""
        over = self._rows.spec.usual_over
        n = len(self._amount)
        count = np.minimum(np.arange(n) - self._history.first, over)
        padded = np.concatenate([np.full(over, np.inf), self._amount])
        pasts = np.lib.stride_tricks.sliding_window_view(padded, over)  # (N + 1, over)
        usual, z = np.empty(n), np.empty(n)
        for start in range(0, n, _CHUNK):
            chunk = slice(start, min(start + _CHUNK, n))
            others = np.arange(over) < over - count[chunk, None]
            past = np.where(others, np.inf, pasts[chunk])
            usual[chunk] = _formulas.middle(past, count[chunk])
            z[chunk] = _formulas.robust_z(self._amount[chunk], past, count[chunk], usual[chunk])
        return usual, z

    def _distinct(self, column: str, start: Ints) -> Ints:
        # A value counts from a row on that has it until the next, or until that row is gone.
        value = self._rows.codes(column)[self._history.row]
        in_order = np.lexsort((value, self._history.key))
        same = (np.diff(value[in_order]) == 0) & (np.diff(self._history.key[in_order]) == 0)
        position = np.arange(len(start))
        again = np.full(len(start), len(start))
        again[in_order[:-1][same]] = in_order[1:][same]
        gone = n_up_to(start, position)
        gone = np.where(value < 0, position, np.minimum(gone, again))  # a null is no value
        return covering(position, gone, len(start))


def _counts(values: Ints) -> Ints:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
