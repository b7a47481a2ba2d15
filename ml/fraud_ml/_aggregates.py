"""What each aggregate is of one key's running history, right after a transaction is counted in."""

# Every one has the same arguments, and few need all of them.
# ruff: noqa: ARG001, ARG005

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from math import nan

from fraud_ml._exact import (
    deviation,
    from_limbs,
    from_square_limbs,
    limbs_of,
    ratio,
)
from fraud_ml._key_state import KeyState, Newest
from fraud_ml.feature_spec import Aggregate

Compute = Callable[[KeyState, Newest, int, int], float]
"""Of a history, its newest transaction, and the places of two entries: the window is after the
first, up to the second."""

_COUNT = 1  # where an entry has it; its instant is at 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Where a feature finds what it needs in a history; times in instants."""

    delay: int
    window: int
    unit: int
    """Microseconds an instant."""
    width: int
    """Numbers an entry has."""
    amount: int
    """Where an entry has the first of the three running sums of amounts."""
    square: int
    """Where it has the first of the four running sums of squares."""
    unusual: int
    """Where it has the running sum of unusual amounts."""
    peak: int
    distinct: int
    nth: int


def compute_of(aggregate: Aggregate, shape: Shape) -> Compute:
    """How ``aggregate`` is computed."""
    return _MAKERS[aggregate](shape)


def _count(shape: Shape) -> Compute:
    return lambda key, newest, before, last: (
        key.entries[last + _COUNT] - key.entries[before + _COUNT]
    )


def _unusual_count(shape: Shape) -> Compute:
    at = shape.unusual
    return lambda key, newest, before, last: key.entries[last + at] - key.entries[before + at]


def _sum_amount(shape: Shape) -> Compute:
    whole, middle, low = range(shape.amount, shape.amount + 3)

    def total(key: KeyState, newest: Newest, before: int, last: int) -> float:
        entries = key.entries
        return from_limbs(
            entries[last + whole] - entries[before + whole],
            entries[last + middle] - entries[before + middle],
            entries[last + low] - entries[before + low],
        )

    return total


def _mean_amount(shape: Shape) -> Compute:
    total = _sum_amount(shape)

    def mean(key: KeyState, newest: Newest, before: int, last: int) -> float:
        count = key.entries[last + _COUNT] - key.entries[before + _COUNT]
        return total(key, newest, before, last) / count if count else 0.0

    return mean


def _std_amount(shape: Shape) -> Compute:
    total = _sum_amount(shape)
    columns = range(shape.square, shape.square + 4)

    def std(key: KeyState, newest: Newest, before: int, last: int) -> float:
        entries = key.entries
        count = entries[last + _COUNT] - entries[before + _COUNT]
        squares = (entries[last + at] - entries[before + at] for at in columns)
        return deviation(count, total(key, newest, before, last), from_square_limbs(*squares))

    return std


def _amount_to_mean(shape: Shape) -> Compute:
    columns = range(shape.amount, shape.amount + 3)
    is_within = shape.delay == 0

    def to_mean(key: KeyState, newest: Newest, before: int, last: int) -> float:
        entries = key.entries
        count = entries[last + _COUNT] - entries[before + _COUNT] - is_within
        own = limbs_of(newest.amount) if is_within else (0, 0, 0)
        others = (
            entries[last + at] - entries[before + at] - of_this
            for at, of_this in zip(columns, own, strict=True)
        )
        return ratio(newest.amount, ratio(from_limbs(*others), count))

    return to_mean


def _amount_to_median(shape: Shape) -> Compute:
    return lambda key, newest, before, last: newest.to_usual


def _amount_robust_z(shape: Shape) -> Compute:
    return lambda key, newest, before, last: newest.robust_z


def _highest(shape: Shape) -> Compute:
    at, longest = shape.peak, shape.delay + shape.window
    return lambda key, newest, before, last: key.peaks[at].since(newest.now - longest)


def _time_since_last(shape: Shape) -> Compute:
    unit, width = shape.unit, shape.width
    longest = (shape.delay + shape.window) * shape.unit / 1e6
    is_within = shape.delay == 0

    def since(key: KeyState, newest: Newest, before: int, last: int) -> float:
        # The entry of this transaction is of an earlier one only if it was there before.
        if is_within and not newest.was_there:
            last -= width
        if last <= before:
            return longest
        return (newest.now - key.entries[last]) * unit / 1e6

    return since


def _history_length(shape: Shape) -> Compute:
    unit = shape.unit
    return lambda key, newest, before, last: (newest.now - key.first) * unit / 1e6


def _distinct(shape: Shape) -> Compute:
    at, window = shape.distinct, shape.window
    return lambda key, newest, before, last: key.distinct[at].since(newest.now - window)


def _nth_last_amount(shape: Shape) -> Compute:
    at = -1 - shape.nth

    def amount(key: KeyState, newest: Newest, before: int, last: int) -> float:
        return key.last_amounts[at] if len(key.last_amounts) >= -at else nan

    return amount


def _nth_last_age(shape: Shape) -> Compute:
    at, unit = -1 - shape.nth, shape.unit

    def age(key: KeyState, newest: Newest, before: int, last: int) -> float:
        if len(key.last_instants) < -at:
            return nan
        return (newest.now - key.last_instants[at]) * unit / 1e6

    return age


def _fraud_count(shape: Shape) -> Compute:
    delay, longest = shape.delay, shape.delay + shape.window

    def frauds(key: KeyState, newest: Newest, before: int, last: int) -> int:
        instants = key.fraud_instants
        if not instants:
            return 0
        now = newest.now
        first = bisect_right(instants, now - longest)
        return sum(key.fraud_counts[first : bisect_right(instants, now - delay)])

    return frauds


def _fraud_rate(shape: Shape) -> Compute:
    frauds = _fraud_count(shape)

    def rate(key: KeyState, newest: Newest, before: int, last: int) -> float:
        if not key.fraud_instants:
            return 0.0
        count = key.entries[last + _COUNT] - key.entries[before + _COUNT]
        return ratio(frauds(key, newest, before, last), count)

    return rate


def _last_label(shape: Shape) -> Compute:
    width = shape.width

    def share(key: KeyState, newest: Newest, before: int, last: int) -> float:
        if last <= before or not key.fraud_instants:
            return 0.0
        entries = key.entries
        at = bisect_left(key.fraud_instants, entries[last])
        if at == len(key.fraud_instants) or key.fraud_instants[at] != entries[last]:
            return 0.0
        count = entries[last + _COUNT] - entries[last - width + _COUNT]
        return key.fraud_counts[at] / count

    return share


def _fraud_age(shape: Shape) -> Compute:
    unit, delay, longest = shape.unit, shape.delay, shape.delay + shape.window

    def age(key: KeyState, newest: Newest, before: int, last: int) -> float:
        now = newest.now
        at = bisect_right(key.fraud_instants, now - delay) - 1
        instants = longest if at < 0 else min(now - key.fraud_instants[at], longest)
        return instants * unit / 1e6

    return age


def _fraud_run_age(shape: Shape) -> Compute:
    unit, width = shape.unit, shape.width

    def age(key: KeyState, newest: Newest, before: int, last: int) -> float:
        frauds, entries = key.fraud_instants, key.entries
        if not frauds:
            return 0.0
        newest_fraud = bisect_right(frauds, entries[last]) - 1
        # As long as the run goes on, the frauds' instants are the entries', one by one; once it
        # is over, they are older.
        back = bisect_left(
            range(min((last - before) // width, newest_fraud + 1)),
            True,  # noqa: FBT003
            key=lambda steps: frauds[newest_fraud - steps] != entries[last - steps * width],
        )
        if not back:
            return 0.0
        return (newest.now - entries[last - (back - 1) * width]) * unit / 1e6

    return age


_MAKERS: dict[Aggregate, Callable[[Shape], Compute]] = {
    Aggregate.COUNT: _count,
    Aggregate.SUM_AMOUNT: _sum_amount,
    Aggregate.MEAN_AMOUNT: _mean_amount,
    Aggregate.MAX_AMOUNT: _highest,
    Aggregate.STD_AMOUNT: _std_amount,
    Aggregate.AMOUNT_TO_MEAN: _amount_to_mean,
    Aggregate.AMOUNT_TO_MEDIAN: _amount_to_median,
    Aggregate.AMOUNT_ROBUST_Z: _amount_robust_z,
    Aggregate.MAX_AMOUNT_TO_MEDIAN: _highest,
    Aggregate.UNUSUAL_COUNT: _unusual_count,
    Aggregate.TIME_SINCE_LAST: _time_since_last,
    Aggregate.HISTORY_LENGTH: _history_length,
    Aggregate.DISTINCT: _distinct,
    Aggregate.NTH_LAST_AMOUNT: _nth_last_amount,
    Aggregate.NTH_LAST_AGE: _nth_last_age,
    Aggregate.FRAUD_COUNT: _fraud_count,
    Aggregate.FRAUD_RATE: _fraud_rate,
    Aggregate.LAST_LABEL: _last_label,
    Aggregate.FRAUD_AGE: _fraud_age,
    Aggregate.FRAUD_RUN_AGE: _fraud_run_age,
}
