"""Which transactions a label may still be about, and what labels have said of them."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

_BLOCK = 256
_NOWHERE = -(2**62)  # no history has anything at this instant

Place = tuple[Any, ...]
"""Where a transaction counted: key and instant, for one kind of key after the other; then what
leaves it out where it is a fraud, a bit each, and its amount."""


class LabelIndex:
    """Places of transactions by id, for as long as a label about them could change a feature.

    What time it is, is the median of timestamps, in blocks of 256 arrivals, so that no single
    transaction with a wrong clock, far ahead or behind, makes it forget or remember anything. A
    block is forgotten when the one after it is older than ``span`` by that clock: the memory is
    of the transactions of ``span``, and at most two blocks more.
    """

    def __init__(self, span: int) -> None:
        self.span = span
        """In microseconds."""
        self.places: dict[Any, Place] = {}
        self.said: dict[Any, tuple[Any, ...]] = {}
        """When and what, one label after the other, by time."""
        self.blocks: deque[tuple[float, list[Any]]] = deque()
        """Median timestamp and ids of each full block, in order of arrival."""
        self.open_ids: list[Any] = []
        self.open_times: list[int] = []

    def remember(
        self, transactions: Sequence[Any], times: Sequence[int], places: Iterable[Place]
    ) -> None:
        """Transactions have arrived, and counted at their places; again: the last counts."""
        known = self.places
        if known.keys().isdisjoint(transactions) and len(set(transactions)) == len(transactions):
            known.update(zip(transactions, places, strict=True))
            self._arrive(transactions, times)
            return
        for transaction, time, place in zip(transactions, times, places, strict=True):
            is_new = transaction not in known
            known[transaction] = place
            if is_new:
                self._arrive((transaction,), (time,))

    def take_in(self, transaction: Any, at: int, *, is_fraud: bool) -> list[tuple[int, int]] | None:
        """What a label changes: from when on there are how many frauds more.

        The newest label by its time counts, in whatever order they are given; of those with the
        same time the last given.

        Returns:
            None where the label is of no use: of an unknown transaction, or given before.
        """
        if transaction not in self.places:
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

    def forget_keys(self, kind: int, keys: set[Any]) -> None:
        """Let labels no longer count for ``keys``, of the ``kind``-th kind of key in a place."""
        for transaction, place in self.places.items():
            if place[2 * kind] in keys:
                at = 2 * kind + 1
                self.places[transaction] = (*place[:at], _NOWHERE, *place[at + 1 :])

    def _arrive(self, transactions: Sequence[Any], times: Sequence[int]) -> None:
        """New ones go into blocks; they are known already, for a block that closes forgets."""
        start = 0
        while start < len(transactions):
            stop = start + _BLOCK - len(self.open_ids)
            self.open_ids += transactions[start:stop]
            self.open_times += times[start:stop]
            if len(self.open_ids) == _BLOCK:
                self._close_block()
            start = stop

    def _close_block(self) -> None:
        now = statistics.median(self.open_times)
        self.blocks.append((now, self.open_ids))
        self.open_ids, self.open_times = [], []
        while len(self.blocks) > 1 and self.blocks[1][0] < now - self.span:
            for transaction in self.blocks.popleft()[1]:
                self.places.pop(transaction, None)
                self.said.pop(transaction, None)
