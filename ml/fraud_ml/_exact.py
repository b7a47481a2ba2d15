"""One number at a time, what ``_windows`` and ``_formulas`` do with arrays, to the same bits."""

from __future__ import annotations

import math

from fraud_ml._compiled import compiled

_LIMB = 2.0**40


@compiled
def limbs_of(value: float) -> tuple[int, int, int]:
    """``value``, at least 0, as whole numbers of 1, 2^-40 and 2^-80, rounded to the last."""
    whole = int(value)
    rest = (value - whole) * _LIMB
    middle = int(rest)
    return whole, middle, round((rest - middle) * _LIMB)


@compiled
def from_limbs(whole: int, middle: int, low: int) -> float:
    """What :func:`limbs_of` split, or sums of such."""
    return whole + (middle / _LIMB + low / _LIMB**2)


@compiled
def square_limbs_of(value: float) -> tuple[int, int, int, int]:
    """The square of ``value``, as a whole number of 2^40 and then as :func:`limbs_of`."""
    square = value * value
    tall = int(square / _LIMB)
    whole, middle, low = limbs_of(square - tall * _LIMB)
    return tall, whole, middle, low


@compiled
def from_square_limbs(tall: int, whole: int, middle: int, low: int) -> float:
    """What :func:`square_limbs_of` split, or sums of such."""
    return tall * _LIMB + from_limbs(whole, middle, low)


@compiled
def ratio(numerator: float, denominator: float) -> float:
    """``numerator / denominator``, and 0 where the denominator is 0."""
    return numerator / denominator if denominator > 0 else 0.0


@compiled
def deviation(count: int, total: float, squares: float) -> float:
    """Standard deviation (of the population) of ``count`` values from their sums."""
    mean = ratio(total, count)
    return math.sqrt(max(ratio(squares, count) - mean * mean, 0.0))
