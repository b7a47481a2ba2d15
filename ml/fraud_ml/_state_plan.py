"""The features of one kind of key, computed transaction by transaction from running histories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from math import nan
from typing import Any

from fraud_ml._aggregates import Compute, Shape, compute_of
from fraud_ml._columns import microseconds
from fraud_ml._exact import limbs_of, ratio, square_limbs_of
from fraud_ml._key_state import Kept, KeyState, Newest
from fraud_ml.feature_spec import Aggregate, FeatureSpec, WindowFeature

_OF_LABELS = {
    Aggregate.FRAUD_COUNT,
    Aggregate.FRAUD_RATE,
    Aggregate.LAST_LABEL,
    Aggregate.FRAUD_AGE,
    Aggregate.FRAUD_RUN_AGE,
}
_OF_AMOUNTS = {
    Aggregate.SUM_AMOUNT,
    Aggregate.MEAN_AMOUNT,
    Aggregate.STD_AMOUNT,
    Aggregate.AMOUNT_TO_MEAN,
}
_OF_USUAL = {
    Aggregate.AMOUNT_TO_MEDIAN,
    Aggregate.AMOUNT_ROBUST_Z,
    Aggregate.MAX_AMOUNT_TO_MEDIAN,
    Aggregate.UNUSUAL_COUNT,
}
_PEAKS = (Aggregate.MAX_AMOUNT, Aggregate.MAX_AMOUNT_TO_MEDIAN)


class KeyPlan:
    """All values of one key, what is kept of them, and which feature goes where."""

    def __init__(self, spec: FeatureSpec, columns: tuple[str, ...]) -> None:
        self.keys: dict[Any, KeyState] = {}
        self._newest = Newest()
        self.columns = columns
        self._spec = spec
        self._resolution = microseconds(spec.resolution)
        features = [
            (at, feature)
            for at, feature in enumerate(spec.features)
            if isinstance(feature, WindowFeature) and feature.columns == columns
        ]
        aggregates = {feature.aggregate for _, feature in features}
        self.looks_at_labels = bool(aggregates & _OF_LABELS)
        self._looks_at_amounts = bool(aggregates & _OF_AMOUNTS)
        self._looks_at_squares = Aggregate.STD_AMOUNT in aggregates
        self._looks_at_usual = bool(aggregates & _OF_USUAL)
        self._looks_at_unusual = Aggregate.UNUSUAL_COUNT in aggregates
        self._looks_at_z = Aggregate.AMOUNT_ROBUST_Z in aggregates

        spans = [self._span(feature) for _, feature in features]
        # Of each (delay, of the ratio): a running maximum.
        self._peaks = list(
            dict.fromkeys(
                (delay, feature.aggregate is Aggregate.MAX_AMOUNT_TO_MEDIAN)
                for (_, feature), (delay, _) in zip(features, spans, strict=True)
                if feature.aggregate in _PEAKS
            )
        )
        ages = sorted(({age for span in spans for age in (span[0], sum(span))} - {0}) or {1})
        where = {age: i for i, age in enumerate([0, *ages])}
        amounts, squares = 3 * self._looks_at_amounts, 4 * self._looks_at_squares
        self.kept = Kept(
            ages=tuple(ages),
            n_sums=1 + amounts + squares + self._looks_at_unusual,
            n_peaks=len(self._peaks),
            distinct_of=tuple(dict.fromkeys(f.of for _, f in features if f.of is not None)),
            n_last=1 + max(feature.nth or 0 for _, feature in features),
        )
        self._horizon = self.kept.horizon
        self._looks_further = bool(self._peaks or self.kept.distinct_of or self.kept.n_last > 1)
        self._features: list[tuple[int, Compute, int, int]] = [
            (at, self._compute_of(feature, span), where[sum(span)], where[span[0]])
            for (at, feature), span in zip(features, spans, strict=True)
        ]

    @property
    def needs(self) -> set[str]:
        """The columns that the features read, beside time and amount."""
        return {*self.columns, *self.kept.distinct_of}

    def columns_of(
        self, columns: dict[str, list[Any]]
    ) -> tuple[list[Any], Iterable[Sequence[Any]]]:
        """Of each row, the value of the key, and the values that are counted."""
        named = [columns[name] for name in self.columns]
        counted = [columns[name] for name in self.kept.distinct_of]
        names = named[0]
        if len(named) == 2:
            names = [None if None in pair else pair for pair in zip(*named, strict=True)]
        return names, zip(*counted, strict=True) if counted else repeat(())

    def _span(self, feature: WindowFeature) -> tuple[int, int]:
        if feature.window is None:
            return 0, 0
        delay, window = microseconds(feature.delay), microseconds(feature.window)
        return delay // self._resolution, window // self._resolution

    def _compute_of(self, feature: WindowFeature, span: tuple[int, int]) -> Compute:
        delay, window = span
        peak = (delay, feature.aggregate is Aggregate.MAX_AMOUNT_TO_MEDIAN)
        shape = Shape(
            delay=delay,
            window=window,
            unit=self._resolution,
            width=self.kept.width,
            amount=2,
            square=5,
            unusual=self.kept.width - 1,
            peak=self._peaks.index(peak) if feature.aggregate in _PEAKS else -1,
            distinct=-1 if feature.of is None else self.kept.distinct_of.index(feature.of),
            nth=feature.nth or 0,
        )
        return compute_of(feature.aggregate, shape)

    def update(
        self, name: Any, instant: int, amount: float, others: Iterable[Any], row: list[float]
    ) -> int:
        """Count in a transaction of the key ``name``, and fill the plan's columns of ``row``.

        Args:
            name: the value of the key column, or a pair of values; None where one is missing:
                then there is no history, and the columns are NaN.
            instant: when it happened.
            amount: finite and at least 0.
            others: the values of the columns ``kept.distinct_of``.
            row: one number a feature of the spec.

        Returns:
            The instant at which it counts: that of the key's newest, if that is later.
        """
        if name is None:
            for at, *_ in self._features:
                row[at] = nan
            return instant
        key = self.keys.get(name)
        if key is None:
            key = self.keys[name] = KeyState(self.kept, instant)
        newest = self._newest
        newest.amount = amount
        newest.now = now = max(instant, key.newest)
        if key.pending and key.pending[0][0] <= now:
            key.learn(now, self._horizon)
        values = [1]
        if self._looks_at_amounts:
            values += limbs_of(amount)
        if self._looks_at_squares:
            values += square_limbs_of(amount)
        if self._looks_at_usual:
            usual = key.usual.median()
            newest.to_usual = ratio(amount, usual)
            if self._looks_at_z:
                newest.robust_z = key.usual.robust_z(amount, usual)
            key.usual.add(amount, self._spec.usual_over)
        if self._looks_at_unusual:
            values.append(newest.to_usual > self._spec.unusual_ratio)
        newest.was_there = key.count_in(now, values, self.kept)
        if self._looks_further:
            self._count_further(key, newest, others)
        lasts = key.lasts.tolist()
        for at, compute, start, stop in self._features:
            row[at] = compute(key, newest, lasts[start], lasts[stop])
        return now

    def _count_further(self, key: KeyState, newest: Newest, others: Iterable[Any]) -> None:
        now, amount = newest.now, newest.amount
        for (delay, is_ratio), peak in zip(self._peaks, key.peaks, strict=True):
            peak.add(now, newest.to_usual if is_ratio else amount, delay, self._horizon)
        for distinct, value in zip(key.distinct, others, strict=True):
            if value is not None:
                distinct.add(now, value, self._horizon)
        if self.kept.n_last > 1:
            key.last_instants.append(now)
            key.last_amounts.append(amount)
            if len(key.last_instants) > self.kept.n_last:
                del key.last_instants[0], key.last_amounts[0]
