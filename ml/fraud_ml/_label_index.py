"""Which transactions a label may still be about, and what labels have said of them."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from fraud_ml._key_histories import NO_KEY

BLOCK = 256
"""Transactions that are forgotten together."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction counted."""

    keys: list[int]
    """Its numbers of the K kinds of key that look at labels; :data:`NO_KEY` where it has none."""
    instants: list[int]
    """When it counted, for each of them."""
    left_out: int
    """What leaves it out where it is a fraud, a bit each."""
    amount: float


class Places:
    """The places of B transactions, by columns."""

    def __init__(self, columns: Ints) -> None:
        """Those of :meth:`of`."""
        self._columns = columns
        self._n_kinds = len(columns) // 2 - 1

    @classmethod
    def of(
        cls, keys: Sequence[Ints], instants: Sequence[Ints], left_out: Ints, amounts: Floats
    ) -> Places:
        """What :class:`Place` has, of each: K arrays twice, and one twice, of shape ``(B,)``."""
        columns = (*keys, *instants, left_out, amounts.view(np.int64))
        return cls(np.concatenate(columns).reshape(len(columns), len(left_out)))

    @classmethod
    def room_for(cls, n_kinds: int, n_rows: int) -> Places:
        """Room for so many, with anything in it."""
        return cls(np.empty((2 * n_kinds + 2, n_rows), dtype=np.int64))

    @property
    def keys(self) -> Ints:
        """Shape ``(K, B)``."""
        return self._columns[: self._n_kinds]

    @property
    def instants(self) -> Ints:
        """Shape ``(K, B)``."""
        return self._columns[self._n_kinds : -2]

    @property
    def left_out(self) -> Ints:
        """Shape ``(B,)``."""
        left_out: Ints = self._columns[-2]
        return left_out

    @property
    def amounts(self) -> Floats:
        """Shape ``(B,)``."""
        amounts: Floats = self._columns[-1].view(np.float64)
        return amounts

    def put(self, at: slice, others: Places, rows: slice) -> None:
        """Takes over some of the others'."""
        self._columns[:, at] = others._columns[:, rows]

    def place(self, row: int) -> Place:
        """That of one transaction."""
        return Place(
            self.keys[:, row].tolist(),
            self.instants[:, row].tolist(),
            int(self.left_out[row]),
            float(self.amounts[row]),
        )


class _Block:
    """Transactions that arrived one after the other: all but the newest block are full."""

    def __init__(self, n_kinds: int) -> None:
        self.ids: list[Any] = []
        self.places = Places.room_for(n_kinds, BLOCK)
        self.median = 0.0
        """Of their timestamps, once it is full."""


class LabelIndex:
    """Places of transactions by id, for as long as a label about them could change a feature.

    What time it is, is the median of timestamps, in blocks of 256 arrivals, so that no single
    transaction with a wrong clock, far ahead or behind, makes it forget or remember anything. A
    block is forgotten when the one after it is older than ``span`` by that clock: the memory is
    of the transactions of ``span``, and at most two blocks more.
    """

    def __init__(self, span: int, n_kinds: int) -> None:
        self.span = span
        """In microseconds."""
        self.said: dict[Any, tuple[Any, ...]] = {}
        """When and what, one label after the other, by time."""
        self.open_times: list[int] = []
        """Timestamps of the newest block's transactions."""
        self._n_kinds = n_kinds
        self._number_of: dict[Any, int] = {}  # of each id, how many had arrived before
        self._n_arrived = 0
        self._newest = _Block(n_kinds)
        self._blocks = {0: self._newest}  # by number, in order of arrival

    def __len__(self) -> int:
        """How many transactions are remembered."""
        return len(self._number_of)

    @property
    def ids(self) -> list[Any]:
        """Of those, in order of arrival."""
        return list(self._number_of)

    @property
    def medians(self) -> list[float]:
        """The median timestamp of each full block, in order of arrival."""
        return [block.median for block in self._blocks.values()][:-1]

    def place_of(self, transaction: Any) -> Place | None:
        """Where it counted; None of one that is not remembered."""
        number = self._number_of.get(transaction)
        if number is None:
            return None
        return self._blocks[number // BLOCK].places.place(number % BLOCK)

    def places(self) -> Places:
        """Of all that are remembered, in order of arrival."""
        found, start = Places.room_for(self._n_kinds, len(self)), 0
        for block in self._blocks.values():
            stop = start + len(block.ids)
            found.put(slice(start, stop), block.places, slice(stop - start))
            start = stop
        return found

    def remember(self, transactions: Sequence[Any], times: Sequence[int], places: Places) -> None:
        """Transactions have arrived, and counted at their places; again: the last counts."""
        number_of = self._number_of
        if number_of.keys().isdisjoint(transactions) and (
            len(set(transactions)) == len(transactions)
        ):
            self._arrive(transactions, times, places)
            return
        for row, transaction in enumerate(transactions):
            number = number_of.get(transaction)
            if number is None:
                self._arrive([transaction], [times[row]], places, first=row)
            else:
                at = number % BLOCK
                block = self._blocks[number // BLOCK]
                block.places.put(slice(at, at + 1), places, slice(row, row + 1))

    def take_in(self, transaction: Any, at: int, *, is_fraud: bool) -> list[tuple[int, int]] | None:
        """What a label changes: from when on there are how many frauds more.

        The newest label by its time counts, in whatever order they are given; of those with the
        same time the last given.

        Returns:
            None where the label is of no use: of an unknown transaction, or given before.
        """
        if transaction not in self._number_of:
            return None
        said = self.said.get(transaction, ())
        earlier = 2 * bisect_right(said[::2], at)
        before = said[earlier - 1] if earlier else False
        if earlier and said[earlier - 2 : earlier] == (at, is_fraud):
            return None
        self.said[transaction] = (*said[:earlier], at, is_fraud, *said[earlier:])
        if is_fraud == before:
            return []
        more = 1 if is_fraud else -1
        changes = [(at, more)]
        if earlier < len(said):  # what the next one changes was counted from what was before
            changes.append((said[earlier], -more))
        return changes

    def renumber(self, kind: int, numbers: Ints) -> None:
        """Keys of the ``kind``-th kind have other numbers now.

        Args:
            kind: 0 for the first.
            numbers: the new number of each; :data:`NO_KEY` of one that is forgotten: labels no
                longer count for it.
        """
        or_none = np.append(numbers, NO_KEY)  # the last, -1, for those that have none
        for block in self._blocks.values():
            keys = block.places.keys[kind, : len(block.ids)]
            keys[:] = or_none[keys]

    def restore(
        self, ids: Sequence[Any], medians: Sequence[float], times: Sequence[int], places: Places
    ) -> None:
        """Becomes what it was when it said so of itself; it has seen nothing yet.

        Args:
            ids: see :attr:`ids`.
            medians: see :attr:`medians`.
            times: see :attr:`open_times`.
            places: see :meth:`places`.
        """
        for start in range(0, len(ids), BLOCK):
            rows = slice(start, min(start + BLOCK, len(ids)))
            self._append(ids[rows], places, rows)
            if len(self._newest.ids) == BLOCK:
                self._newest.median = medians[start // BLOCK]
                self._open()
        self.open_times = list(times)

    def _arrive(
        self, transactions: Sequence[Any], times: Sequence[int], places: Places, first: int = 0
    ) -> None:
        """New ones go into blocks; their places begin with the row ``first``."""
        start = 0
        while start < len(transactions):
            stop = min(start + BLOCK - len(self._newest.ids), len(transactions))
            self._append(transactions[start:stop], places, slice(first + start, first + stop))
            self.open_times += times[start:stop]
            if len(self._newest.ids) == BLOCK:
                self._close()
            start = stop

    def _append(self, transactions: Sequence[Any], places: Places, rows: slice) -> None:
        """Puts as many as there is room for into the newest block."""
        block, n_new = self._newest, len(transactions)
        start = len(block.ids)
        block.ids += transactions
        block.places.put(slice(start, start + n_new), places, rows)
        numbers = range(self._n_arrived, self._n_arrived + n_new)
        self._number_of.update(zip(transactions, numbers, strict=True))
        self._n_arrived += n_new

    def _open(self) -> None:
        self._newest = self._blocks[self._n_arrived // BLOCK] = _Block(self._n_kinds)

    def _close(self) -> None:
        now = self._newest.median = statistics.median(self.open_times)
        while len(self._blocks) > 1:
            (number, oldest), (_, second) = islice(self._blocks.items(), 2)
            if second.median >= now - self.span:
                break
            del self._blocks[number]
            for transaction in oldest.ids:
                del self._number_of[transaction]
                self.said.pop(transaction, None)
        self.open_times = []
        self._open()
