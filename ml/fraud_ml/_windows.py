"""Trailing windows over the history of each key, for all rows at once.

Rows are sorted by time, so a row's number says when it happened, ties included, and a moment is
the number of rows before it. With ``key * (rows + 1) + row number`` as one integer, "this key's
rows since that moment" becomes a range of one sorted array, found by binary search: no loop over
rows or keys, no overflow below 3e9 rows whatever the span of time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class History:
    """The rows of every key, in time order. All arrays have one entry a row: shape ``(N,)``."""

    time: Ints
    """Microseconds, ascending."""
    key: Ints
    """Key of each row: 0, 1, ..."""
    order: Ints
    """Rows by key, then time; the windows below speak in positions in this order."""
    place: Ints
    """``key * (N + 1) + row`` of ``order``: ascending."""

    @classmethod
    def of(cls, time: Ints, key: Ints) -> History:
        """The history of rows at ``time`` (ascending) whose keys are ``key``."""
        order = np.argsort(key, kind="stable")
        return cls(time=time, key=key, order=order, place=key[order] * (len(time) + 1) + order)

    def first_after(self, delay: int) -> Ints:
        """Of each position, that of its key's first row later than ``t - delay``: shape ``(N,)``.

        ``delay`` is in microseconds.
        """
        rows_until = np.searchsorted(self.time, self.time - delay, side="right")
        return np.searchsorted(self.place, self.moment(self.key, rows_until)[self.order])

    def moment(self, key: Ints, row: Ints) -> Ints:
        """Where a row of ``key`` at row number ``row`` would stand among ``place``."""
        return key * (len(self.time) + 1) + row

    def to_rows(self, by_position: npt.NDArray[np.generic]) -> Floats:
        """Values by position, put back into the order of rows, as ``float64``."""
        by_row = np.empty(len(by_position), dtype=np.float64)
        by_row[self.order] = by_position
        return by_row

    def events_in_force(self, row: Ints, start: Ints, stop: Ints) -> Ints:
        """Of each position, how many events of its key have ``start <= t < stop``: ``(N,)``.

        An event is about a row, and counts for later rows only, even at the same instant.

        Args:
            row: shape ``(E,)``.
            start: microseconds, shape ``(E,)``.
            stop: microseconds, shape ``(E,)``; an event with ``stop <= start`` never counts.
        """
        ever = start < stop
        row, start, stop = row[ever], start[ever], stop[ever]
        first = np.maximum(np.searchsorted(self.time, start), row + 1)
        started = np.sort(self.moment(self.key[row], first))
        stopped = np.sort(self.moment(self.key[row], np.searchsorted(self.time, stop)))
        # Events of lower keys are in both numbers, and cancel.
        return np.searchsorted(started, self.place, side="right") - np.searchsorted(
            stopped, self.place, side="right"
        )


_LIMB = 2.0**40


@dataclass(frozen=True, slots=True)
class PrefixSums:
    """Sums over ranges that depend on the terms in the range alone, to the last bit.

    The difference of two floating-point prefix sums carries the rounding of all that came before.
    Here each value is split into three integers, of units 1, 2^-40 and 2^-80. Integer sums are
    exact whatever the order, and those of a range are right even where the prefix sums wrap
    around, so that another partition of the rows or another engine gets the same bits. A range
    must sum up to less than 2^63 and have less than 2^23 terms.
    """

    limbs: tuple[Ints, Ints, Ints]

    @classmethod
    def of(cls, values: Floats) -> PrefixSums:
        """The prefix sums of ``values``, at least 0: shape ``(N,)``."""
        whole = np.floor(values)
        rest = (values - whole) * _LIMB  # exact, as are the next two lines but for np.rint
        middle = np.floor(rest)
        low = np.rint((rest - middle) * _LIMB)
        return cls((_prefix_sums(whole), _prefix_sums(middle), _prefix_sums(low)))

    def between(self, start: Ints, stop: Ints) -> Floats:
        """The sums of ``values[start:stop]``, element by element."""
        whole, middle, low = (limb[stop] - limb[start] for limb in self.limbs)
        return whole + (middle / _LIMB + low / _LIMB**2)


def _prefix_sums(values: Floats) -> Ints:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values.astype(np.int64), out=sums[1:])
    return sums
