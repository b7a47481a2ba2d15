"""The features of one key, computed for a micro-batch from the running state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fraud_ml import _formulas
from fraud_ml._columns import microseconds
from fraud_ml._key_state import AMOUNT, CLEAN, COUNT, FRAUDS, N_SUMS, SQUARE, UNUSUAL, KeyState
from fraud_ml._windows import (
    Floats,
    Ints,
    from_limbs,
    from_square_limbs,
    limbs_of,
    square_limbs_of,
)
from fraud_ml.feature_spec import Aggregate, FeatureSpec, WindowFeature

_COLUMNS = range(N_SUMS)
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


class KeyPlan:
    """Which column of the result gets what, for the features of one key."""

    def __init__(self, spec: FeatureSpec, columns: tuple[str, ...]) -> None:
        self.unusual_ratio = spec.unusual_ratio
        self._columns = columns
        self.resolution = microseconds(spec.resolution)
        features = [
            (at, feature)
            for at, feature in enumerate(spec.features)
            if isinstance(feature, WindowFeature) and feature.columns == columns
        ]
        self.needs = {*columns, *(f.of for _, f in features if f.of is not None)}
        aggregates = {feature.aggregate for _, feature in features}
        self.looks_at_labels = bool(aggregates & _OF_LABELS)
        self.looks_at_amounts = bool(aggregates & _OF_AMOUNTS)
        self.looks_at_squares = Aggregate.STD_AMOUNT in aggregates
        self.looks_at_usual = bool(aggregates & _OF_USUAL)
        self.looks_at_z = Aggregate.AMOUNT_ROBUST_Z in aggregates
        peaks = (Aggregate.MAX_AMOUNT, Aggregate.MAX_AMOUNT_TO_MEDIAN)
        self.peaks = [at for at, aggregate in enumerate(peaks) if aggregate in aggregates]

        spans = [self._span(feature) for _, feature in features]
        self.horizon = max(1, *(sum(span) for span in spans))
        self.offsets = np.array(
            sorted({delay for delay, _ in spans} | {sum(span) for span in spans} | {0})
        )
        where = {offset: i for i, offset in enumerate(self.offsets.tolist())}
        groups: dict[Aggregate, list[tuple[int, int, int, int, str]]] = {}
        for (at, feature), (delay, window) in zip(features, spans, strict=True):
            groups.setdefault(feature.aggregate, []).append(
                (at, where[delay + window], where[delay], delay + window, feature.of or "")
            )
        # Of each aggregate: where its windows start and end among the offsets, their longest
        # age, and all there is about its features.
        self._groups = [
            (aggregate, np.array([item[1:4] for item in group]).T, group)
            for aggregate, group in groups.items()
        ]
        self._at = np.array([item[0] for group in groups.values() for item in group])

    def _span(self, feature: WindowFeature) -> tuple[int, int]:
        if feature.window is None:
            return 0, 0
        delay, window = microseconds(feature.delay), microseconds(feature.window)
        return delay // self.resolution, window // self.resolution

    def update(
        self,
        keys: KeyState,
        columns: dict[str, list[Any]],
        instant: Ints,
        amount: Floats,
        features: Floats,
    ) -> tuple[list[int], list[int]]:
        """Fill the plan's columns of ``features``; slot and instant of each row, in ``keys``."""
        values = columns[self._columns[0]]
        names = (
            values
            if len(self._columns) == 1
            else list(zip(values, columns[self._columns[1]], strict=True))
        )
        slots = [keys.slot_of(name, at) for name, at in zip(names, instant.tolist(), strict=True)]
        counted = np.empty_like(instant)
        slot_of_row = np.array(slots, dtype=np.int64)
        for rows in _rounds(slots):
            batch = _Batch(self, keys, slot_of_row[rows], instant[rows], amount[rows])
            counted[rows] = batch.instant
            results: list[npt.NDArray[Any]] = []
            for aggregate, (start, stop, longest), group in self._groups:
                if aggregate is Aggregate.DISTINCT:
                    values = [[columns[of][row] for *_, of in group] for row in rows.tolist()]
                    results.append(batch.distinct(group, values))
                else:
                    results.append(batch.compute(aggregate, start, stop, longest))
            features[rows[:, None], self._at] = np.concatenate(results, axis=1)
        return slots, counted.tolist()


def _rounds(slots: list[int]) -> list[Ints]:
    """Rows in rounds of distinct slots, the rows of one slot in their order."""
    if len(set(slots)) == len(slots):
        return [np.arange(len(slots))] if slots else []
    turns: dict[int, int] = {}
    rounds: list[list[int]] = []
    for row, slot in enumerate(slots):
        turn = turns.get(slot, 0)
        turns[slot] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(row)
    return [np.array(rows) for rows in rounds]


class _Batch:
    """Transactions of distinct keys, counted in, and what their windows hold: ``B`` of them."""

    def __init__(
        self, plan: KeyPlan, keys: KeyState, slots: Ints, instant: Ints, amount: Floats
    ) -> None:
        self._plan = plan
        self._keys = keys
        self._slots = slots
        self._amount = amount
        self.instant = np.maximum(instant, keys.instant[keys.tail[slots] - 1])
        """Of each transaction, when it counts as having happened: shape ``(B,)``."""
        if keys.pending:
            for slot, now in zip(slots.tolist(), self.instant.tolist(), strict=True):
                if slot in keys.pending:
                    keys.learn(slot, now)

        self._own = np.zeros((len(slots), N_SUMS), dtype=np.int64)
        self._own[:, COUNT] = 1
        if plan.looks_at_amounts:
            for at, limb in zip(_COLUMNS[AMOUNT], limbs_of(amount), strict=True):
                self._own[:, at] = limb
        if plan.looks_at_squares:
            for at, limb in zip(_COLUMNS[SQUARE], square_limbs_of(amount), strict=True):
                self._own[:, at] = limb
        self._to_usual = self._robust_z = amount
        if plan.looks_at_usual:
            past = keys.recent[slots]
            count = np.minimum(keys.seen[slots], past.shape[1])
            usual = _formulas.middle(past, count)
            self._to_usual = _formulas.ratio(amount, usual)
            if plan.looks_at_z:
                self._robust_z = _formulas.robust_z(amount, past, count, usual)
            self._own[:, UNUSUAL] = self._to_usual > plan.unusual_ratio
            keys.remember(slots, amount)

        self._was_there = keys.advance(slots, self.instant)
        newest = keys.tail[slots] - 1
        keys.sums[newest] += self._own
        for at in plan.peaks:
            value = (amount, self._to_usual)[at]
            keys.peak[newest, at] = np.maximum(keys.peak[newest, at], value)
        # Of each offset, the last entry that is at least so old, and its running sums.
        ends = self.instant[:, None] - plan.offsets
        self._last = np.array(
            [keys.last_until(slot, end) for slot, end in zip(slots.tolist(), ends, strict=True)]
        )  # (B, offsets)
        self._sums = keys.sums[self._last]  # (B, offsets, N_SUMS)

    def compute(
        self, aggregate: Aggregate, start: Ints, stop: Ints, longest: Ints
    ) -> npt.NDArray[Any]:
        """Values of ``F`` features: shape ``(B, F)``; offsets by number, ages in instants."""
        match aggregate:
            case Aggregate.AMOUNT_TO_MEDIAN:
                return self._to_usual[:, None]
            case Aggregate.AMOUNT_ROBUST_Z:
                return self._robust_z[:, None]
            case Aggregate.HISTORY_LENGTH:
                return self._seconds(self.instant - self._keys.first[self._slots])[:, None]
            case Aggregate.MAX_AMOUNT:
                return self._peaks(0, start, stop)
            case Aggregate.MAX_AMOUNT_TO_MEDIAN:
                return self._peaks(1, start, stop)
            case Aggregate.TIME_SINCE_LAST:
                return self._time_since_last(start, stop, longest)
            case Aggregate.FRAUD_AGE:
                return self._fraud_age(start, stop, longest)
            case Aggregate.LAST_LABEL:
                return self._last_label(start, stop)
            case Aggregate.FRAUD_RUN_AGE:
                return self._fraud_run_age(start, stop)
            case _:
                return self._of_sums(aggregate, start, stop)

    def distinct(
        self, group: list[tuple[int, int, int, int, str]], values: list[list[Any]]
    ) -> Floats:
        """How many different values each window has, with those of this transaction."""
        result = np.empty((len(values), len(group)))
        rows = zip(self._slots.tolist(), self.instant.tolist(), values, strict=True)
        for row, (slot, now, here) in enumerate(rows):
            by_column = self._keys.distinct.setdefault(slot, {})
            for column, value in zip((of for *_, of in group), here, strict=True):
                seen = by_column.setdefault(column, {})
                if value is not None:
                    seen[value] = now
            for i, (_, _, _, window, of) in enumerate(group):
                last = by_column[of]
                for gone in [v for v, at in last.items() if at <= now - self._keys.horizon]:
                    del last[gone]
                result[row, i] = sum(at > now - window for at in last.values())
        return result

    def _of_sums(self, aggregate: Aggregate, start: Ints, stop: Ints) -> npt.NDArray[Any]:
        sums = self._sums[:, stop] - self._sums[:, start]  # (B, F, N_SUMS)
        if aggregate is Aggregate.AMOUNT_TO_MEAN:
            current = self._plan.offsets[stop] == 0
            sums -= self._own[:, None, :] * current[:, None]
        count: Ints = sums[..., COUNT]
        frauds: Ints = sums[..., FRAUDS]
        unusual: Ints = sums[..., UNUSUAL]
        match aggregate:
            case Aggregate.COUNT:
                return count
            case Aggregate.UNUSUAL_COUNT:
                return unusual
            case Aggregate.FRAUD_COUNT:
                return frauds
            case Aggregate.FRAUD_RATE:
                return _formulas.ratio(frauds, count)
        total = from_limbs(*(sums[..., at] for at in _COLUMNS[AMOUNT]))
        match aggregate:
            case Aggregate.SUM_AMOUNT:
                return total
            case Aggregate.MEAN_AMOUNT:
                return _formulas.ratio(total, count)
            case Aggregate.STD_AMOUNT:
                squares = from_square_limbs(*(sums[..., at] for at in _COLUMNS[SQUARE]))
                return _formulas.deviation(count, total, squares)
            case _:  # Aggregate.AMOUNT_TO_MEAN
                amount = np.broadcast_to(self._amount[:, None], total.shape)
                return _formulas.ratio(amount, _formulas.ratio(total, count))

    def _time_since_last(self, start: Ints, stop: Ints, longest: Ints) -> Floats:
        last = self._last[:, stop]
        # The entry of this transaction is of an earlier one only if it was there before.
        last = last - ((self._plan.offsets[stop] == 0) & ~self._was_there[:, None])
        age = self.instant[:, None] - self._keys.instant[last]
        return self._seconds(np.where(last > self._last[:, start], age, longest))

    def _last_label(self, start: Ints, stop: Ints) -> Floats:
        last = self._last[:, stop]
        at_last = self._keys.sums[last] - self._keys.sums[last - 1]
        count = np.where(last > self._last[:, start], at_last[..., COUNT], 0)
        return _formulas.ratio(at_last[..., FRAUDS], count)

    def _fraud_age(self, start: Ints, stop: Ints, longest: Ints) -> Floats:
        age = np.empty((len(self._slots), len(longest)), dtype=np.int64)
        age[:] = longest
        frauds = self._sums[:, stop, FRAUDS] > self._sums[:, start, FRAUDS]
        for row, i in np.argwhere(frauds).tolist():
            first, last = self._last[row, start[i]] + 1, self._last[row, stop[i]]
            sums = self._keys.sums[first : last + 1, FRAUDS]
            at = first + sums.searchsorted(sums[-1])
            age[row, i] = self.instant[row] - self._keys.instant[at]
        return self._seconds(age)

    def _fraud_run_age(self, start: Ints, stop: Ints) -> Floats:
        age = np.zeros((len(self._slots), len(start)), dtype=np.int64)
        last = self._last[:, stop]
        ongoing = self._keys.sums[last, CLEAN] == self._keys.sums[last - 1, CLEAN]
        for row, i in np.argwhere(ongoing & (last > self._last[:, start])).tolist():
            before, end = self._last[row, start[i]], last[row, i]
            sums = self._keys.sums[before : end + 1, CLEAN]
            at = before + sums.searchsorted(sums[-1]) + 1
            age[row, i] = self.instant[row] - self._keys.instant[at]
        return self._seconds(age)

    def _peaks(self, which: int, start: Ints, stop: Ints) -> Floats:
        peak = self._keys.peak[:, which]
        return np.array(
            [
                [
                    peak[last[i] + 1 : last[j] + 1].max(initial=0.0)
                    for i, j in zip(start.tolist(), stop.tolist(), strict=True)
                ]
                for last in self._last.tolist()
            ]
        )

    def _seconds(self, instants: Ints) -> Floats:
        seconds: Floats = instants * self._plan.resolution / 1e6
        return seconds
