"""Trailing windows over the history of each key, for all rows at once.

A window is a range of *positions*, the rows by key and then time. Its ends are found by binary
search among the times of all positions, in a row: those of a key after those of the key before,
with a gap between them that no window reaches over. No loop over rows or keys.

Both ends only ever grow from one position of a key to the next, so that the positions that see a
given row are a range too; what a window holds is then a sum over changes at the ends of such
ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraud_ml._once import once

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_BLOCK = 2**15  # rows: what is computed about them stays in a core's cache


@dataclass(frozen=True)
class KeyOrder:
    """The rows of all keys, key by key, those of each in order of arrival: shape ``(N,)``."""

    row: Ints
    """The row at each position."""
    is_first: Bools
    """Whether a position is the first of its key."""

    @classmethod
    def of(cls, codes: Sequence[Ints]) -> KeyOrder:
        """The order by keys that are tuples of ``codes``, each 0, 1, ...: shape ``(N,)`` each."""
        row = _in_order(codes[-1])
        for column in codes[-2::-1]:
            row = row.take(_in_order(column.take(row)))
        is_first = np.zeros(len(row), dtype=bool)
        is_first[:1] = True
        for column in codes:
            in_order = column.take(row)
            is_first[1:] |= in_order[1:] != in_order[:-1]
        return cls(row=row, is_first=is_first)

    def blocks(self, reach: int) -> list[slice]:
        """Positions of whole keys, of about as many rows each.

        Few enough that what :attr:`History.place` sums up, at most ``reach + 1`` a row, is far
        from overflow; the times of a single key alone span less than 2^59.
        """
        n = len(self.row)
        size = max(1, min(_BLOCK, 2**61 // (reach + 1)))
        starts = np.append(np.flatnonzero(self.is_first), n)
        cuts = np.unique(starts[np.searchsorted(starts, np.arange(0, n + size, size).clip(0, n))])
        return [slice(*ends) for ends in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)]


def _in_order(codes: Ints) -> Ints:
    """What sorts ``codes`` and leaves equal ones in order: shape ``(N,)``."""
    # NumPy sorts numbers of 16 bits, and none longer, in linear time.
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    for shift in range(16, int(codes.max(initial=0)).bit_length(), 16):
        digit = (codes >> shift).astype(np.uint16)
        order = order.take(np.argsort(digit.take(order), kind="stable"))
    return order


@dataclass(frozen=True)
class History:
    """The rows of some keys, in time order. Arrays have one entry a row: shape ``(N,)``.

    Times are counted in instants, multiples of the spec's resolution. Windows speak in positions.
    """

    row: Ints
    """The row at each position."""
    is_first: Bools
    """Whether a position is the first of its key."""
    instant: Ints
    """Time of each position: ascending within a key."""
    reach: int
    """No window reaches back further than that, at least 1."""

    @classmethod
    def of(cls, row: Ints, is_first: Bools, instant: Ints, reach: int) -> History:
        """The history of ``row``, which happened at ``instant``.

        A row older than its key's newest counts as if it happened with the newest.
        """
        late = np.diff(instant) < 0
        if (late & ~is_first[1:]).any():
            moments, moment = np.unique(instant, return_inverse=True)
            before = (np.cumsum(is_first) - 1) * len(moments)
            instant = moments[np.maximum.accumulate(before + moment) - before]
        return cls(row=row, is_first=is_first, instant=instant, reach=reach)

    @once
    def place(self) -> Ints:
        """Time of each position since the first, as far as windows see: ascending.

        Whatever lies out of each other's reach, other keys above all, is just out of it.
        """
        steps = np.minimum(np.diff(self.instant), self.reach + 1)
        steps[self.is_first[1:]] = self.reach + 1
        place = np.zeros(len(self.instant), dtype=np.int64)
        np.cumsum(steps, out=place[1:])
        return place

    @once
    def key(self) -> Ints:
        """Key of each position: 0, 1, ..., ascending."""
        return np.cumsum(self.is_first) - 1

    @once
    def first(self) -> Ints:
        """Of each position, the first of its key."""
        return np.flatnonzero(self.is_first).take(self.key)

    @once
    def instant_start(self) -> Ints:
        """Of each position, the first of its key at the same time."""
        return np.flatnonzero(self._begins_instant).take(np.cumsum(self._begins_instant) - 1)

    @once
    def instants(self) -> tuple[Ints, Ints]:
        """First position of each instant of a key, and one past its last: shape ``(G,)``."""
        starts = np.flatnonzero(self._begins_instant)
        return starts, np.append(starts[1:], len(self.row))

    @once
    def _begins_instant(self) -> Bools:
        begins = np.ones(len(self.row), dtype=bool)
        begins[1:] = self.place[1:] != self.place[:-1]
        return begins

    def first_after(self, delay: int) -> Ints:
        """Of each position, that of its key's first row later than ``t - delay``."""
        return n_up_to(self.place, self.place - min(delay, self.reach))

    def first_since(self, position: Ints, wait: Ints | int) -> Ints:
        """Of the key at each ``position``, its first row at ``t + wait`` or later: ``(E,)``.

        ``wait`` is from 0 to ``reach``.
        """
        return np.searchsorted(self.place, self.place[position] + wait)


def n_up_to(values: Ints, bounds: Ints) -> Ints:
    """Of each of ``bounds``, how many of ``values`` are at most that: the shape of ``bounds``.

    Both are ascending and less than 2^62 in size. Merging them takes half the time of a binary
    search a bound.
    """
    merged = np.concatenate([2 * values, 2 * bounds + 1])
    merged.sort(kind="stable")  # alone among the kinds makes use of what is sorted already
    is_bound = (merged & 1).astype(bool)
    return np.flatnonzero(is_bound) - np.arange(len(bounds))


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
