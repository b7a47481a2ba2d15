"""The usual amount of a key: the median of its last few, kept in order as they come and go.

Queue number ``arrival`` keeps them by arrival, the one after it by size.
"""

from __future__ import annotations

import math

from fraud_ml import _rings
from fraud_ml._compiled import compiled
from fraud_ml._rings import Rings, at, end, first


@compiled
def add(rings: Rings, key: int, arrival: int, amount: float, over: int) -> None:
    """Make ``amount`` the newest, and forget the one that ``over`` others have followed."""
    size = arrival + 1
    oldest = first(rings, key, arrival)
    if end(rings, key, arrival) - oldest == over:
        gone = rings.reals[at(rings, key, arrival, oldest)]
        _rings.remove(rings, key, size, _below(rings, key, size, gone))
        _rings.drop_before(rings, key, arrival, oldest + 1)
    rings.reals[_rings.push(rings, key, arrival)] = amount
    rings.reals[_rings.insert(rings, key, size, _below(rings, key, size, amount))] = amount


@compiled
def median(rings: Rings, key: int, arrival: int) -> float:
    """The usual amount, 0 where there is none yet."""
    size = arrival + 1
    n = end(rings, key, size)
    if n == 0:
        return 0.0
    return (_amount(rings, key, size, (n - 1) // 2) + _amount(rings, key, size, n // 2)) / 2


@compiled
def median_distance(rings: Rings, key: int, arrival: int, center: float) -> float:
    """The median of the amounts' distances from ``center``, 0 where there is none yet."""
    size = arrival + 1
    n = end(rings, key, size)
    if n == 0:
        return 0.0
    # The closest half stand side by side: where they start is found by halving.
    closest = (n + 1) // 2
    start, stop = 0, n - closest
    while start < stop:
        middle = (start + stop) // 2
        left = center - _amount(rings, key, size, middle)
        if left > _amount(rings, key, size, middle + closest) - center:
            start = middle + 1
        else:
            stop = middle
    last = start + closest
    farthest = max(
        center - _amount(rings, key, size, start), _amount(rings, key, size, last - 1) - center
    )
    if n % 2:
        return farthest
    left = center - _amount(rings, key, size, start - 1) if start else math.inf
    right = _amount(rings, key, size, last) - center if last < n else math.inf
    return (farthest + min(left, right)) / 2


@compiled
def robust_z(rings: Rings, key: int, arrival: int, amount: float, usual: float) -> float:
    """How many deviations ``amount`` lies above ``usual``, the median."""
    scale = max(1.4826 * median_distance(rings, key, arrival, usual), 0.1 * usual)
    return (amount - usual) / scale if scale > 0 else 0.0


@compiled
def _amount(rings: Rings, key: int, size: int, number: int) -> float:
    return float(rings.reals[at(rings, key, size, number)])


@compiled
def _below(rings: Rings, key: int, size: int, amount: float) -> int:
    """How many amounts are less than ``amount``."""
    low, high = 0, end(rings, key, size)
    while low < high:
        middle = (low + high) // 2
        if _amount(rings, key, size, middle) < amount:
            low = middle + 1
        else:
            high = middle
    return low
