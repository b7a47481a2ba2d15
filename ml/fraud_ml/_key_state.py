"""The running history of every value of one key, one entry an instant, in shared arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fraud_ml._windows import Floats, Ints

# What an entry sums up, of its key's transactions up to and with its instant.
COUNT, AMOUNT, SQUARE, UNUSUAL, FRAUDS, CLEAN = 0, slice(1, 4), slice(4, 8), 8, 9, 10
N_SUMS = 11
_SMALLEST = 8
_BEFORE_ALL = -(2**62)

ARRAYS = ("base", "size", "head", "tail", "first", "seen", "recent", "instant", "sums", "peak")


class KeyState:
    """Entries of each key, oldest first, in a region of its own; sums are running sums.

    The sum over a window is the difference of two entries, exact because the sums are of whole
    numbers. The entry at ``head`` has left every window: it only serves to be subtracted. All
    memory of a key is its region, at most four entries for each instant of ``horizon``, and its
    last ``usual_over`` amounts.
    """

    def __init__(self, horizon: int, usual_over: int) -> None:
        self.horizon = horizon
        self.slots: dict[Any, int] = {}
        self.pending: dict[int, list[tuple[int, int, int]]] = {}
        """Of a slot: when which instant gets how many frauds more."""
        self.distinct: dict[int, dict[str, dict[Any, int]]] = {}
        """Of a slot and a column: when each value was last seen."""
        self.free: dict[int, list[int]] = {}
        self.used = 0
        self.base = np.zeros(0, dtype=np.int64)
        self.size = np.zeros(0, dtype=np.int64)
        self.head = np.zeros(0, dtype=np.int64)
        self.tail = np.zeros(0, dtype=np.int64)
        self.first = np.zeros(0, dtype=np.int64)
        self.seen = np.zeros(0, dtype=np.int64)
        self.recent = np.zeros((0, usual_over))
        self.instant = np.zeros(0, dtype=np.int64)
        self.sums = np.zeros((0, N_SUMS), dtype=np.int64)
        self.peak = np.zeros((0, 2))

    def slot_of(self, key: Any, instant: int) -> int:
        """Where ``key`` stands; a new place if it is new."""
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = len(self.slots)
            if slot == len(self.base):
                self._grow_slots()
            base = self._region(_SMALLEST)
            self.base[slot], self.size[slot] = base, _SMALLEST
            self.head[slot], self.tail[slot] = base, base + 1
            self.first[slot] = instant
            self.instant[base] = _BEFORE_ALL
            self.sums[base] = 0
            self.recent[slot] = np.inf
        return slot

    def advance(self, slots: Ints, instant: Ints) -> npt.NDArray[np.bool_]:
        """Open an entry at ``instant``, not before the newest, and say where it was there already.

        ``slots`` are distinct; shape ``(B,)`` each.
        """
        tail = self.tail[slots]
        there: npt.NDArray[np.bool_] = self.instant[tail - 1] == instant
        new = slots[~there]
        if len(new):
            now = instant[~there]
            at = self.tail[new]
            full = at == self.base[new] + self.size[new]
            if full.any():
                for slot, last in zip(new[full].tolist(), now[full].tolist(), strict=True):
                    self._make_room(slot, last - self.horizon)
                at = self.tail[new]
            self.instant[at] = now
            self.sums[at] = self.sums[at - 1]
            self.sums[at, CLEAN] += 1
            self.peak[at] = 0.0
            self.tail[new] = at + 1
        return there

    def last_until(self, slot: int, instants: Ints) -> Ints:
        """The last entry of ``slot`` at or before each of ``instants``, at least ``head``."""
        head = int(self.head[slot])
        entries = self.instant[head + 1 : self.tail[slot]]
        return head + entries.searchsorted(instants, side="right")

    def add_frauds(self, slot: int, instant: int, more: int) -> None:
        """Count ``more`` frauds (or fewer) at an instant of the past; nothing if it has left."""
        head, tail = int(self.head[slot]), int(self.tail[slot])
        at = head + 1 + int(self.instant[head + 1 : tail].searchsorted(instant))
        if at == tail or self.instant[at] != instant:
            return
        before = self.sums[at, FRAUDS] - self.sums[at - 1, FRAUDS]
        self.sums[at:tail, FRAUDS] += more
        self.sums[at:tail, CLEAN] += int(before + more == 0) - int(before == 0)

    def learn(self, slot: int, now: int) -> None:
        """Apply what is pending for ``slot`` and known by ``now``."""
        waiting = self.pending.pop(slot)
        for since, instant, more in waiting:
            if since <= now:
                self.add_frauds(slot, instant, more)
        waiting = [item for item in waiting if item[0] > now]
        if waiting:
            self.pending[slot] = waiting

    def _make_room(self, slot: int, gone: int) -> None:
        """Drop what is at or before the instant ``gone``; double the region if that is little."""
        base, size, tail = int(self.base[slot]), int(self.size[slot]), int(self.tail[slot])
        head = int(self.head[slot])
        head += int(self.instant[head + 1 : tail].searchsorted(gone, side="right"))
        to = base
        if 2 * (tail - head) > size:
            to = self._region(2 * size)
            self.free.setdefault(size, []).append(base)
            self.base[slot], self.size[slot] = to, 2 * size
        n = tail - head
        for array in (self.instant, self.sums, self.peak):
            array[to : to + n] = array[head:tail].copy()
        self.head[slot], self.tail[slot] = to, to + n

    def _region(self, size: int) -> int:
        if self.free.get(size):
            return self.free[size].pop()
        base = self.used
        self.used += size
        if self.used > len(self.instant):
            room = max(2 * len(self.instant), self.used, 1024)
            for name in ("instant", "sums", "peak"):
                setattr(self, name, _longer(getattr(self, name), room))
        return base

    def _grow_slots(self) -> None:
        room = max(2 * len(self.base), 64)
        for name in ("base", "size", "head", "tail", "first", "seen", "recent"):
            setattr(self, name, _longer(getattr(self, name), room))

    def remember(self, slots: Ints, amounts: Floats) -> None:
        """Make ``amounts`` the newest of the last few of ``slots``, which are distinct."""
        seen = self.seen[slots]
        self.recent[slots, seen % self.recent.shape[1]] = amounts
        self.seen[slots] = seen + 1


def _longer(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    longer = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer
