"""Trailing windows over the history of each key, for all rows at once.

Moments are numbered: the distinct times of all rows, in order. With ``key * (moments + 1) +
moment`` as one integer, "this key's rows since that moment" becomes a range of one sorted array,
found by binary search: no loop over rows or keys, no overflow below 3e9 rows whatever the span of
time.

A window is a range of *positions*, the rows by key and then time. Both its ends only ever grow
from one position of a key to the next, so that the positions that see a given row are a range
too; what a window holds is then a sum over changes at the ends of such ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class History:
    """The rows of every key, in time order. Arrays have one entry a row: shape ``(N,)``.

    Times are counted in instants, multiples of the spec's resolution.
    """

    order: Ints
    """Rows by key, then arrival; the windows below speak in positions in this order."""
    key: Ints
    """Key of each position: 0, 1, ..., ascending."""
    moments: Ints
    """The instants at which anything happens, ascending: shape ``(M,)``."""
    place: Ints
    """``key * (M + 1) + moment`` of each position: ascending."""

    @classmethod
    def of(cls, instant: Ints, key: Ints) -> History:
        """The history of rows at ``instant`` whose keys are ``key``, in order of arrival.

        A row older than its key's newest counts as if it happened with the newest.
        """
        moments, moment = _moments(instant)
        order = np.argsort(key, kind="stable")
        key = key[order]
        place = np.maximum.accumulate(key * (len(moments) + 1) + moment[order])
        return cls(order=order, key=key, moments=moments, place=place)

    @cached_property
    def moment(self) -> Ints:
        """Number of the moment of each position."""
        return self.place - self.key * (len(self.moments) + 1)

    @cached_property
    def instant(self) -> Ints:
        """Time of each position."""
        return self.moments[self.moment]

    @cached_property
    def position(self) -> Ints:
        """Position of each row."""
        position = np.empty_like(self.order)
        position[self.order] = np.arange(len(position))
        return position

    @cached_property
    def first(self) -> Ints:
        """Of each position, the first of its key."""
        return np.searchsorted(self.key, self.key)

    def first_after(self, delay: int) -> Ints:
        """Of each position, that of its key's first row later than ``t - delay``."""
        moments_until = np.searchsorted(self.moments, self.moments - delay, side="right")
        return np.searchsorted(
            self.place, self.key * (len(self.moments) + 1) + moments_until[self.moment]
        )

    def first_since(self, position: Ints, instant: Ints) -> Ints:
        """Of the key at each ``position``, its first row at ``instant`` or later: ``(E,)``."""
        moment = np.searchsorted(self.moments, instant)
        return np.searchsorted(self.place, self.key[position] * (len(self.moments) + 1) + moment)

    def to_rows(self, by_position: npt.NDArray[np.generic]) -> Floats:
        """Values by position, put back into the order of rows, as ``float64``."""
        by_row = np.empty(len(by_position), dtype=np.float64)
        by_row[self.order] = by_position
        return by_row


def _moments(instant: Ints) -> tuple[Ints, Ints]:
    steps = np.diff(instant)
    if (steps < 0).any():
        moments, moment = np.unique(instant, return_inverse=True)
        return moments, moment
    new = np.ones(len(instant), dtype=bool)
    new[1:] = steps > 0
    return instant[new], np.cumsum(new) - 1


def covering(start: Ints, stop: Ints, n: int) -> Ints:
    """Of each of ``n`` positions, how many of the ranges ``[start, stop)`` cover it: ``(n,)``.

    A range with ``stop <= start`` covers nothing.
    """
    ever = start < stop
    changes = np.bincount(start[ever], minlength=n + 1)
    changes -= np.bincount(stop[ever], minlength=n + 1)
    return np.cumsum(changes[:n])


def highest_covering(start: Ints, stop: Ints, value: Ints, n: int) -> Ints:
    """Of each of ``n`` positions, the highest ``value`` of the ranges that cover it, else -1.

    A sparse table upside down: each range is two overlapping ones of a power of two, which are
    halved, level by level, down to single positions.
    """
    ever = start < stop
    start, stop, value = start[ever], stop[ever], value[ever]
    highest = np.full(n, -1, dtype=np.int64)
    if not len(start):
        return highest
    level = _floor_log2(stop - start)
    by_level = np.argsort(level, kind="stable")
    ends = np.searchsorted(level[by_level], np.arange(level.max() + 2))
    for exponent in range(int(level.max()), -1, -1):
        here = by_level[ends[exponent] : ends[exponent + 1]]
        np.maximum.at(highest, start[here], value[here])
        np.maximum.at(highest, stop[here] - 2**exponent, value[here])
        if exponent:
            half = 2 ** (exponent - 1)
            halved = highest.copy()
            np.maximum(halved[half:], highest[:-half], out=halved[half:])
            highest = halved
    return highest


def highest_between(values: Floats, start: Ints, stop: Ints) -> Floats:
    """The highest of ``values[start:stop]``, element by element; 0 where the range is empty."""
    highest = np.zeros(len(start))
    length = stop - start
    if not len(start) or length.max() < 1:
        return highest
    level = np.where(length > 0, _floor_log2(np.maximum(length, 1)), -1)
    table = values
    for exponent in range(int(level.max()) + 1):
        here = np.flatnonzero(level == exponent)
        highest[here] = np.maximum(table[start[here]], table[stop[here] - 2**exponent])
        if exponent < level.max():
            table = np.maximum(table[: -(2**exponent)], table[2**exponent :])
    return highest


def _floor_log2(lengths: Ints) -> Ints:
    # Exact: lengths are far below 2**53.
    return np.asarray(np.frexp(lengths.astype(np.float64))[1] - 1, dtype=np.int64)


_LIMB = 2.0**40


@dataclass(frozen=True, slots=True)
class PrefixSums:
    """Sums over ranges that depend on the terms in the range alone, to the last bit.

    The difference of two floating-point prefix sums carries the rounding of all that came before.
    Here each value is split into integers, of ever smaller units. Integer sums are exact whatever
    the order, and those of a range are right even where the prefix sums wrap around, so that
    another partition of the rows or another engine gets the same bits. A range must sum up to
    less than 2^63 units of the largest kind and have less than 2^23 terms.
    """

    limbs: tuple[Ints, ...]

    @classmethod
    def of(cls, values: Floats) -> PrefixSums:
        """The prefix sums of ``values``, at least 0: shape ``(N,)``."""
        return cls(tuple(_prefix_sums(limb) for limb in limbs_of(values)))

    def between(self, start: Ints, stop: Ints) -> Floats:
        """The sums of ``values[start:stop]``, element by element."""
        return from_limbs(*(limb[stop] - limb[start] for limb in self.limbs))


def limbs_of(values: Floats) -> tuple[Floats, Floats, Floats]:
    """``values``, at least 0, as whole numbers of 1, 2^-40 and 2^-80, rounded to the last."""
    whole = np.floor(values)
    rest = (values - whole) * _LIMB  # exact, as are the next two lines but for np.rint
    middle = np.floor(rest)
    return whole, middle, np.rint((rest - middle) * _LIMB)


def from_limbs(whole: Ints, middle: Ints, low: Ints) -> Floats:
    """What :func:`limbs_of` split, or sums of such."""
    total: Floats = whole + (middle / _LIMB + low / _LIMB**2)
    return total


def square_limbs_of(values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Squares of ``values``, as whole numbers of 2^40 and then as :func:`limbs_of`."""
    square = values * values
    tall = np.floor(square / 2.0**40)
    return tall, *limbs_of(square - tall * 2.0**40)


def from_square_limbs(tall: Ints, whole: Ints, middle: Ints, low: Ints) -> Floats:
    """What :func:`square_limbs_of` split, or sums of such."""
    total: Floats = tall * 2.0**40 + from_limbs(whole, middle, low)
    return total


def _prefix_sums(values: Floats) -> Ints:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values.astype(np.int64), out=sums[1:])
    return sums
