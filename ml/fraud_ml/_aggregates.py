"""What each aggregate is of one key's running history, right after a transaction is counted in."""

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
from fraud_ml._key_state import KeyState
from fraud_ml.feature_spec import Aggregate

Compute = Callable[[KeyState, int, int], float]
"""From a history and two of its entries to a feature; the window is after one, up to the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Where a feature finds what it needs in a history; times in instants."""

    delay: int
    window: int
    unit: int
    """Microseconds an instant."""
    amount: int
    """The first of the three running sums of amounts."""
    square: int
    """The first of the four running sums of squares."""
    unusual: int
    """The running sum of unusual amounts."""
    peak: int
    distinct: int
    nth: int


def compute_of(aggregate: Aggregate, shape: Shape) -> Compute:
    """How ``aggregate`` is computed."""
    return _MAKERS[aggregate](shape)


def _count(shape: Shape) -> Compute:  # noqa: ARG001
    return lambda key, before, last: key.sums[0][last] - key.sums[0][before]


def _unusual_count(shape: Shape) -> Compute:
    at = shape.unusual
    return lambda key, before, last: key.sums[at][last] - key.sums[at][before]


def _sum_amount(shape: Shape) -> Compute:
    whole_at, middle_at, low_at = range(shape.amount, shape.amount + 3)

    def total(key: KeyState, before: int, last: int) -> float:
        sums = key.sums
        whole, middle, low = sums[whole_at], sums[middle_at], sums[low_at]
        return from_limbs(
            whole[last] - whole[before], middle[last] - middle[before], low[last] - low[before]
        )

    return total


def _mean_amount(shape: Shape) -> Compute:
    total = _sum_amount(shape)

    def mean(key: KeyState, before: int, last: int) -> float:
        count = key.sums[0][last] - key.sums[0][before]
        return total(key, before, last) / count if count else 0.0

    return mean


def _std_amount(shape: Shape) -> Compute:
    total = _sum_amount(shape)
    columns = range(shape.square, shape.square + 4)

    def std(key: KeyState, before: int, last: int) -> float:
        count = key.sums[0]
        squares = (key.sums[at][last] - key.sums[at][before] for at in columns)
        return deviation(
            count[last] - count[before], total(key, before, last), from_square_limbs(*squares)
        )

    return std


def _amount_to_mean(shape: Shape) -> Compute:
    columns = range(shape.amount, shape.amount + 3)
    is_within = shape.delay == 0

    def to_mean(key: KeyState, before: int, last: int) -> float:
        count = key.sums[0][last] - key.sums[0][before] - is_within
        own = limbs_of(key.amount) if is_within else (0, 0, 0)
        others = (
            key.sums[at][last] - key.sums[at][before] - of_this
            for at, of_this in zip(columns, own, strict=True)
        )
        return ratio(key.amount, ratio(from_limbs(*others), count))

    return to_mean


def _amount_to_median(shape: Shape) -> Compute:  # noqa: ARG001
    return lambda key, before, last: key.to_usual  # noqa: ARG005


def _amount_robust_z(shape: Shape) -> Compute:  # noqa: ARG001
    return lambda key, before, last: key.robust_z  # noqa: ARG005


def _highest(shape: Shape) -> Compute:
    at, longest = shape.peak, shape.delay + shape.window
    return lambda key, before, last: key.peaks[at].since(key.instants[-1] - longest)  # noqa: ARG005


def _time_since_last(shape: Shape) -> Compute:
    unit, longest = shape.unit, (shape.delay + shape.window) * shape.unit / 1e6
    is_within = shape.delay == 0

    def since(key: KeyState, before: int, last: int) -> float:
        # The entry of this transaction is of an earlier one only if it was there before.
        if is_within and not key.was_there:
            last -= 1
        if last <= before:
            return longest
        return (key.instants[-1] - key.instants[last]) * unit / 1e6

    return since


def _history_length(shape: Shape) -> Compute:
    unit = shape.unit
    return lambda key, before, last: (key.instants[-1] - key.first) * unit / 1e6  # noqa: ARG005


def _distinct(shape: Shape) -> Compute:
    at, window = shape.distinct, shape.window
    return lambda key, before, last: key.distinct[at].since(key.instants[-1] - window)  # noqa: ARG005


def _nth_last_amount(shape: Shape) -> Compute:
    at = -1 - shape.nth

    def amount(key: KeyState, before: int, last: int) -> float:  # noqa: ARG001
        return key.last_amounts[at] if len(key.last_amounts) >= -at else nan

    return amount


def _nth_last_age(shape: Shape) -> Compute:
    at, unit = -1 - shape.nth, shape.unit

    def age(key: KeyState, before: int, last: int) -> float:  # noqa: ARG001
        if len(key.last_instants) < -at:
            return nan
        return (key.instants[-1] - key.last_instants[at]) * unit / 1e6

    return age


def _fraud_count(shape: Shape) -> Compute:
    delay, longest = shape.delay, shape.delay + shape.window

    def frauds(key: KeyState, before: int, last: int) -> int:  # noqa: ARG001
        instants = key.fraud_instants
        if not instants:
            return 0
        now = key.instants[-1]
        first = bisect_right(instants, now - longest)
        return sum(key.fraud_counts[first : bisect_right(instants, now - delay)])

    return frauds


def _fraud_rate(shape: Shape) -> Compute:
    frauds = _fraud_count(shape)

    def rate(key: KeyState, before: int, last: int) -> float:
        if not key.fraud_instants:
            return 0.0
        count = key.sums[0]
        return ratio(frauds(key, before, last), count[last] - count[before])

    return rate


def _last_label(shape: Shape) -> Compute:  # noqa: ARG001
    def share(key: KeyState, before: int, last: int) -> float:
        if last <= before or not key.fraud_instants:
            return 0.0
        at = bisect_left(key.fraud_instants, key.instants[last])
        if at == len(key.fraud_instants) or key.fraud_instants[at] != key.instants[last]:
            return 0.0
        return key.fraud_counts[at] / (key.sums[0][last] - key.sums[0][last - 1])

    return share


def _fraud_age(shape: Shape) -> Compute:
    unit, delay, longest = shape.unit, shape.delay, shape.delay + shape.window

    def age(key: KeyState, before: int, last: int) -> float:  # noqa: ARG001
        now = key.instants[-1]
        at = bisect_right(key.fraud_instants, now - delay) - 1
        instants = longest if at < 0 else min(now - key.fraud_instants[at], longest)
        return instants * unit / 1e6

    return age


def _fraud_run_age(shape: Shape) -> Compute:
    unit = shape.unit

    def age(key: KeyState, before: int, last: int) -> float:
        frauds, instants = key.fraud_instants, key.instants
        if not frauds:
            return 0.0
        newest = bisect_right(frauds, instants[last]) - 1
        # As long as the run goes on, the frauds' instants are the entries', one by one; once it
        # is over, they are older.
        back = bisect_left(
            range(min(last - before, newest + 1)),
            True,  # noqa: FBT003
            key=lambda steps: frauds[newest - steps] != instants[last - steps],
        )
        return (instants[-1] - instants[last - back + 1]) * unit / 1e6 if back else 0.0

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
