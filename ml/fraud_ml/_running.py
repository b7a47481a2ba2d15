"""What a window cannot get from running sums: the largest value, and how many are different."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any


class RunningMax:
    """The largest of a key's values over windows that end ``delay`` instants ago.

    It keeps the values that no later one exceeds, and those that are too young to count.
    """

    __slots__ = ("instants", "values", "young_instants", "young_values")

    def __init__(self) -> None:
        self.instants = array("q")
        self.values = array("d")
        self.young_instants = array("q")
        self.young_values = array("d")

    def add(self, instant: int, value: float, delay: int, longest: int) -> None:
        """Count in ``value`` at ``instant``, the newest; forget what is ``longest`` ago."""
        if delay:
            self._add_young(instant, value, delay)
        else:
            self._count(instant, value)
        if self.instants and self.instants[0] <= instant - longest:
            gone = bisect_right(self.instants, instant - longest)
            del self.instants[:gone], self.values[:gone]

    def _add_young(self, instant: int, value: float, delay: int) -> None:
        if self.young_instants and self.young_instants[-1] == instant:
            self.young_values[-1] = max(self.young_values[-1], value)
        else:
            self.young_instants.append(instant)
            self.young_values.append(value)
        old = bisect_right(self.young_instants, instant - delay)
        for at in range(old):
            self._count(self.young_instants[at], self.young_values[at])
        del self.young_instants[:old], self.young_values[:old]

    def since(self, instant: int) -> float:
        """The largest value after ``instant``, 0 where there is none."""
        at = bisect_right(self.instants, instant)
        return self.values[at] if at < len(self.values) else 0.0

    def _count(self, instant: int, value: float) -> None:
        values, instants = self.values, self.instants
        while values and values[-1] <= value:
            values.pop()
            instants.pop()
        if not instants or instants[-1] != instant:
            instants.append(instant)
            values.append(value)


class Distinct:
    """When each value of a column was last seen with a key, the latest last."""

    __slots__ = ("instants", "last")

    def __init__(self, last: Iterable[tuple[Any, int]] = ()) -> None:
        self.last = dict(last)
        self.instants = array("q", self.last.values())

    def add(self, instant: int, value: Any, longest: int) -> None:
        """Count in ``value`` at ``instant``, the newest; forget what is ``longest`` ago."""
        before = self.last.pop(value, None)
        if before is not None:
            del self.instants[bisect_right(self.instants, before) - 1]
        self.last[value] = instant
        self.instants.append(instant)
        gone = bisect_right(self.instants, instant - longest)
        if gone:
            for old in [value for value, _ in zip(self.last, range(gone), strict=False)]:
                del self.last[old]
            del self.instants[:gone]

    def since(self, instant: int) -> int:
        """How many different values were seen after ``instant``."""
        return len(self.instants) - bisect_right(self.instants, instant)
