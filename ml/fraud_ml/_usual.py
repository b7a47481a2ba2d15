"""The usual amount of a key: the median of its last few, kept in order as they come and go."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort


class Usual:
    """The last ``over`` amounts of a key, by arrival and by size."""

    __slots__ = ("by_arrival", "by_size")

    def __init__(self) -> None:
        self.by_arrival = array("d")
        self.by_size = array("d")

    def add(self, amount: float, over: int) -> None:
        """Make ``amount`` the newest, and forget the one that ``over`` others have followed."""
        if len(self.by_arrival) == over:
            del self.by_size[bisect_left(self.by_size, self.by_arrival.pop(0))]
        self.by_arrival.append(amount)
        insort(self.by_size, amount)

    def median(self) -> float:
        """The usual amount, 0 where there is none yet."""
        n = len(self.by_size)
        return (self.by_size[(n - 1) // 2] + self.by_size[n // 2]) / 2 if n else 0.0

    def median_distance(self, center: float) -> float:
        """The median of the amounts' distances from ``center``, 0 where there is none yet."""
        amounts = self.by_size
        n = len(amounts)
        if not n:
            return 0.0
        # The closest half stand side by side: where they start is found by halving.
        closest = (n + 1) // 2
        start, stop = 0, n - closest
        while start < stop:
            middle = (start + stop) // 2
            if center - amounts[middle] > amounts[middle + closest] - center:
                start = middle + 1
            else:
                stop = middle
        end = start + closest
        farthest = max(center - amounts[start], amounts[end - 1] - center)
        if n % 2:
            return farthest
        left = center - amounts[start - 1] if start else float("inf")
        right = amounts[end] - center if end < n else float("inf")
        return (farthest + min(left, right)) / 2

    def robust_z(self, amount: float, usual: float) -> float:
        """How many deviations ``amount`` lies above ``usual``, the median."""
        scale = max(1.4826 * self.median_distance(usual), 0.1 * usual)
        return (amount - usual) / scale if scale > 0 else 0.0
