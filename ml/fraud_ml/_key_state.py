"""The running history of one value of a key: an entry for each instant at which it was seen."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_ml._running import Distinct, RunningMax
from fraud_ml._usual import Usual

BEFORE_ALL = -(2**62)
_FEW = 8  # entries that are not worth the work of dropping them, nor are less than a quarter


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What the features of a key need to know of each of its values."""

    ages: tuple[int, ...]
    """How many instants ago windows start and end, ascending; at the last, all is over."""
    n_sums: int
    """Running sums an entry has; the first is the count."""
    n_peaks: int
    """Running maxima of values of its transactions."""
    distinct_of: tuple[str, ...]
    """The columns whose values are counted."""
    n_last: int
    """Transactions that are known one by one, this one included."""

    @property
    def horizon(self) -> int:
        """How many instants ago a transaction leaves the last window."""
        return self.ages[-1]


class KeyState:
    """Entries, oldest first, in compact arrays.

    Sums are running sums of whole numbers, so that the difference of two entries is the exact sum
    over what lies between. The first entry has left every window, and only serves to be
    subtracted.
    """

    __slots__ = (
        "amount",
        "distinct",
        "first",
        "fraud_counts",
        "fraud_instants",
        "instants",
        "last_amounts",
        "last_instants",
        "lasts",
        "peaks",
        "pending",
        "robust_z",
        "sums",
        "to_usual",
        "usual",
        "was_there",
    )

    def __init__(self, kept: Kept, first: int) -> None:
        self.first = first
        self.instants = array("q", [BEFORE_ALL])
        self.sums = [array("q", [0]) for _ in range(kept.n_sums)]
        self.lasts = [0] * (1 + len(kept.ages))
        """The newest entry, and of each age the newest that is at least so old."""
        self.last_instants = array("q")
        self.last_amounts = array("d")
        self.usual = Usual()
        self.peaks = [RunningMax() for _ in range(kept.n_peaks)]
        self.distinct = [Distinct() for _ in kept.distinct_of]
        self.fraud_instants = array("q")
        """The instants at which a transaction is known to have been a fraud, ascending."""
        self.fraud_counts = array("q")
        """How many transactions at each of them."""
        self.pending: list[tuple[int, int, int]] = []
        """From which instant on which instant has how many frauds more, in order."""
        # Of the newest transaction:
        self.amount = self.to_usual = self.robust_z = 0.0
        self.was_there = False  # another one at its instant came before it

    def count_in(self, now: int, values: list[int], ages: tuple[int, ...]) -> None:
        """Add ``values`` to the sums at ``now``, which is not before the newest entry."""
        instants, lasts = self.instants, self.lasts
        self.was_there = now == instants[-1]
        if self.was_there:
            for column, value in zip(self.sums, values, strict=True):
                column[-1] += value
            return
        instants.append(now)
        for column, value in zip(self.sums, values, strict=True):
            column.append(column[-1] + value)
        # Each entry is passed once by each age: quicker than to search where it ends now.
        lasts[0] += 1
        for at, age in enumerate(ages, 1):
            limit, last = now - age, lasts[at]
            while instants[last + 1] <= limit:
                last += 1
            lasts[at] = last
        gone = lasts[-1]
        if gone >= _FEW and 4 * gone >= len(instants):
            self._drop(gone)

    def learn(self, now: int, horizon: int) -> None:
        """Count the frauds that are pending and known by ``now``."""
        known = bisect_left(self.pending, (now + 1,))
        for _, instant, more in self.pending[:known]:
            self._count_frauds(instant, more)
        del self.pending[:known]
        gone = bisect_right(self.fraud_instants, now - horizon)
        del self.fraud_instants[:gone], self.fraud_counts[:gone]

    def will_learn(self, since: int, instant: int, more: int) -> None:
        """From the instant ``since`` on, ``instant`` has ``more`` frauds (or fewer)."""
        insort(self.pending, (since, instant, more))

    def parts(self) -> Iterator[array[int] | array[float]]:
        """Everything that is kept, array by array, but for the distinct values themselves."""
        yield array("q", [self.first])
        yield self.instants
        yield from self.sums
        yield from (self.last_instants, self.last_amounts)
        yield from (self.usual.by_arrival, self.usual.by_size)
        for peak in self.peaks:
            yield from (peak.instants, peak.values, peak.young_instants, peak.young_values)
        yield from (distinct.instants for distinct in self.distinct)
        yield from (self.fraud_instants, self.fraud_counts)
        yield array("q", [number for item in self.pending for number in item])

    @classmethod
    def restored(
        cls, kept: Kept, distinct: list[list[Any]], parts: Iterator[array[Any]]
    ) -> KeyState:
        """The history that had these :meth:`parts`, and these values in ``distinct``."""
        key = cls(kept, next(parts)[0])
        key.instants = next(parts)
        key.sums = [next(parts) for _ in key.sums]
        now = key.instants[-1]
        key.lasts = [bisect_right(key.instants, now - age) - 1 for age in (0, *kept.ages)]
        key.last_instants, key.last_amounts = next(parts), next(parts)
        key.usual.by_arrival, key.usual.by_size = next(parts), next(parts)
        for peak in key.peaks:
            peak.instants, peak.values = next(parts), next(parts)
            peak.young_instants, peak.young_values = next(parts), next(parts)
        key.distinct = [
            Distinct(zip(values, next(parts), strict=True)) for values in distinct
        ]
        key.fraud_instants, key.fraud_counts = next(parts), next(parts)
        pending = iter(next(parts))
        key.pending = list(zip(pending, pending, pending, strict=True))
        return key

    def _drop(self, gone: int) -> None:
        """Drop the ``gone`` oldest entries; sums start anew, so that they never overflow."""
        del self.instants[:gone]
        for column in self.sums:
            del column[:gone]
            np.frombuffer(column, dtype=np.int64)[:] -= column[0]
        self.lasts = [last - gone for last in self.lasts]

    def _count_frauds(self, instant: int, more: int) -> None:
        at = bisect_left(self.fraud_instants, instant)
        if at == len(self.fraud_instants) or self.fraud_instants[at] != instant:
            self.fraud_instants.insert(at, instant)
            self.fraud_counts.insert(at, 0)
        self.fraud_counts[at] += more
        if self.fraud_counts[at] == 0:
            del self.fraud_instants[at], self.fraud_counts[at]
