"""How many different values of a column a key was seen with."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any


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
