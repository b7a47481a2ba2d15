"""The running history of one value of a key: an entry for each instant at which it was seen.

An entry is a few numbers side by side in one array, because what lies together comes from memory
together: its instant, and running sums up to and with it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_ml._running import Distinct, RunningMax
from fraud_ml._usual import Usual

_BEFORE_ALL = -(2**62)
_FEW = 8  # entries that are not worth the work of dropping them, nor are less than a quarter


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What the features of a key need to know of each of its values."""

    ages: tuple[int, ...]
    """How many instants ago windows start and end, ascending; at the last, all is over."""
    n_sums: int
    """Running sums an entry has beside its instant; the first is the count."""
    n_peaks: int
    """Running maxima of values of its transactions."""
    distinct_of: tuple[str, ...]
    """The columns whose values are counted."""
    n_last: int
    """Transactions that are known one by one, this one included."""

    @property
    def width(self) -> int:
        """Numbers an entry has."""
        return 1 + self.n_sums

    @property
    def horizon(self) -> int:
        """How many instants ago a transaction leaves the last window."""
        return self.ages[-1]


class Newest:
    """The transaction that is just counted in.

    Its numbers are not those of the key: to overwrite what lies far away in memory takes longer
    than to compute it.
    """

    __slots__ = ("amount", "now", "robust_z", "to_usual", "was_there")

    now: int
    amount: float
    to_usual: float
    robust_z: float
    was_there: bool
    """Another one at its instant came before it."""


class KeyState:
    """Entries, oldest first; where one starts in ``entries`` is its place.

    Sums are running sums of whole numbers, so that the difference of two entries is the exact sum
    over what lies between. The first entry has left every window, and only serves to be
    subtracted.
    """

    __slots__ = (
        "distinct",
        "entries",
        "first",
        "fraud_counts",
        "fraud_instants",
        "last_amounts",
        "last_instants",
        "lasts",
        "peaks",
        "pending",
        "usual",
    )

    def __init__(self, kept: Kept, first: int) -> None:
        self.first = first
        self.entries = array("q", [_BEFORE_ALL, *[0] * kept.n_sums])
        self.lasts = array("q", [0] * (1 + len(kept.ages)))
        """Place of the newest entry, and of each age that of the newest at least so old."""
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

    @property
    def newest(self) -> int:
        """The newest entry's instant."""
        return self.entries[self.lasts[0]]

    def count_in(self, now: int, values: list[int], kept: Kept) -> bool:
        """Add ``values`` to the sums at ``now``; whether that is the newest entry's instant."""
        entries, lasts = self.entries, self.lasts
        newest = lasts[0]
        if now == entries[newest]:
            for at, value in enumerate(values, newest + 1):
                entries[at] += value
            return True
        entries.append(now)
        for at, value in enumerate(values, newest + 1):
            entries.append(entries[at] + value)
        width = 1 + len(values)
        lasts[0] = newest + width
        # Each entry is passed once by each age: quicker than to search where it ends now.
        for number, age in enumerate(kept.ages, 1):
            limit, last = now - age, lasts[number]
            while entries[last + width] <= limit:
                last += width
            lasts[number] = last
        gone = lasts[-1]
        if gone >= _FEW * width and 4 * gone >= len(entries):
            self._drop(gone, width)
        return False

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
        yield self.entries
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
        key.entries = next(parts)
        instants = key.entries[:: kept.width]
        for number, age in enumerate((0, *kept.ages)):
            key.lasts[number] = kept.width * (bisect_right(instants, instants[-1] - age) - 1)
        key.last_instants, key.last_amounts = next(parts), next(parts)
        key.usual.by_arrival, key.usual.by_size = next(parts), next(parts)
        for peak in key.peaks:
            peak.instants, peak.values = next(parts), next(parts)
            peak.young_instants, peak.young_values = next(parts), next(parts)
        key.distinct = [Distinct(zip(values, next(parts), strict=True)) for values in distinct]
        key.fraud_instants, key.fraud_counts = next(parts), next(parts)
        pending = iter(next(parts))
        key.pending = list(zip(pending, pending, pending, strict=True))
        return key

    def _drop(self, gone: int, width: int) -> None:
        """Drop all before the place ``gone``; sums start anew, so that they never overflow."""
        del self.entries[:gone]
        sums = np.frombuffer(self.entries, dtype=np.int64).reshape(-1, width)[:, 1:]
        sums -= sums[0].copy()
        for number, last in enumerate(self.lasts):
            self.lasts[number] = last - gone

    def _count_frauds(self, instant: int, more: int) -> None:
        at = bisect_left(self.fraud_instants, instant)
        if at == len(self.fraud_instants) or self.fraud_instants[at] != instant:
            self.fraud_instants.insert(at, instant)
            self.fraud_counts.insert(at, 0)
        self.fraud_counts[at] += more
        if self.fraud_counts[at] == 0:
            del self.fraud_instants[at], self.fraud_counts[at]
