"""When which transaction is known to be a fraud, for all rows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml import _formulas
from fraud_ml._once import once
from fraud_ml._windows import Bools, Floats, History, Ints, covering, highest_covering, n_up_to

_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class KnownFrauds:
    """Spans of time in which a transaction is known to be a fraud. Shape ``(E,)`` each."""

    at: Ints
    """The transaction: its row, or its position in a history."""
    since: Ints
    """The first instant at which it is known."""
    until: Ints
    """The first instant at which it is known not to be one, after all."""

    @classmethod
    def none(cls) -> KnownFrauds:
        """No known frauds: shapes ``(0,)``."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(at=nothing, since=nothing, until=nothing)

    @classmethod
    def of(cls, transactions: pa.Table, labels: pa.Table, resolution: int) -> KnownFrauds:
        """What ``labels`` say about ``transactions``: of each, the newest known label counts."""
        says_fraud = pc.fill_null(labels.column("is_fraud"), fill_value=False)
        is_known = pc.and_(
            labels.column("is_fraud").is_valid(), labels.column("labelled_at").is_valid()
        )
        ids = labels.column("transaction_id")
        all_ids = transactions.column("transaction_id")
        if ids.equals(all_ids):  # row by row with the transactions, as they usually are
            rows = np.flatnonzero(pc.and_(is_known, says_fraud).to_numpy())
            known = labels.take(rows)
        else:
            ever_fraud = ids.filter(pc.and_(is_known, says_fraud))
            known = labels.filter(pc.and_(is_known, pc.is_in(ids, value_set=ever_fraud)))
            looked_for = np.flatnonzero(pc.is_in(all_ids, value_set=ever_fraud).to_numpy())
            found = pc.index_in(known.column("transaction_id"), value_set=all_ids.take(looked_for))
            known = known.filter(found.is_valid())
            rows = looked_for[found.drop_null().to_numpy()]
        labelled_at = known.column("labelled_at").cast(pa.int64()).to_numpy()
        since = -(-labelled_at // resolution)
        in_order = np.lexsort((labelled_at, rows))
        rows, since = rows[in_order], since[in_order]
        is_fraud = known.column("is_fraud").to_numpy()[in_order]
        until = np.full(len(rows), _NEVER)
        again = rows[1:] == rows[:-1]
        until[:-1][again] = since[1:][again]
        return cls(at=rows[is_fraud], since=since[is_fraud], until=until[is_fraud])

    def only(self, counts: Bools) -> KnownFrauds:
        """Those of transactions that count.

        Args:
            counts: of each transaction, whether it does: shape ``(N,)``.
        """
        kept = counts[self.at]
        return KnownFrauds(at=self.at[kept], since=self.since[kept], until=self.until[kept])

    def in_blocks(self, row: Ints, blocks: list[slice]) -> list[KnownFrauds]:
        """Those of each block of positions, :attr:`at` counted from its start.

        Args:
            row: the row at each position, all of them: shape ``(N,)``.
            blocks: of positions, ascending.
        """
        position = np.empty_like(row)
        position[row] = np.arange(len(row))
        at = position[self.at]
        in_order = np.argsort(at, kind="stable")
        at, since, until = at[in_order], self.since[in_order], self.until[in_order]
        starts = np.searchsorted(at, [block.start for block in blocks])
        stops = np.searchsorted(at, [block.stop for block in blocks])
        return [
            KnownFrauds(
                at=at[start:stop] - block.start, since=since[start:stop], until=until[start:stop]
            )
            for block, start, stop in zip(blocks, starts, stops, strict=True)
        ]


@dataclass(frozen=True)
class LabelWindow:
    """The frauds known in one window of a history, at each of its positions."""

    history: History
    frauds: KnownFrauds
    start: Ints
    """First position of each position's window: shape ``(N,)``."""
    stop: Ints
    """One past the last position of each position's window: shape ``(N,)``."""
    delay: int
    window: int

    def fraud_count(self) -> Ints:
        """Frauds known in the window: shape ``(N,)``."""
        _, enter, leave = self._spans
        return covering(enter, leave, len(self.start))

    def last_label(self) -> Floats:
        """Share of known frauds at the window's last instant, 0 where it is empty: ``(N,)``."""
        position, enter, leave = self._spans
        group_end = self.history.first_since(position, 1)
        enter = np.maximum(enter, np.searchsorted(self.stop, group_end, side="left"))
        leave = np.minimum(leave, np.searchsorted(self.stop, group_end, side="right"))
        frauds = covering(enter, leave, len(self.start))
        last = np.maximum(self.stop - 1, 0)
        count = self.stop - self.history.instant_start[last]
        return _formulas.ratio(frauds, np.where(self.stop > self.start, count, 0))

    def last_fraud(self) -> Ints:
        """Position of the last known fraud in the window, -1 where there is none: ``(N,)``."""
        position, enter, leave = self._spans
        return highest_covering(enter, leave, position, len(self.start))

    def run_length(self) -> Ints:
        """Instants of the current run, 0 where there is none: ``(N,)``."""
        since, last = self.run_start, np.maximum(self.stop - 1, 0)
        instant = np.cumsum(self.history.instant_start == np.arange(len(last))) - 1
        ongoing = since < self.stop
        return np.where(ongoing, instant[last] - instant[np.where(ongoing, since, 0)] + 1, 0)

    def last_fraud_amount(self, amount: Floats) -> Floats:
        """The amount of the last known fraud in the window, 0 where there is none: ``(N,)``.

        Of several at its instant it is the smallest.

        Args:
            amount: of each position, shape ``(N,)``.
        """
        position, enter, leave = self._spans
        order = np.lexsort((-amount[position], self.history.instant_start[position]))
        position = position[order]
        last = highest_covering(enter[order], leave[order], np.arange(len(order)), len(self.start))
        found = np.zeros(len(last))
        found[last >= 0] = amount[position[last[last >= 0]]]
        return found

    @once
    def run_start(self) -> Ints:
        """Where the current run of frauds starts, at most ``stop``, where there is none: ``(N,)``.

        A run is a number of instants in a row, up to the window's last, with a known fraud each.
        """
        n = len(self.start)
        group_start, group_end = self.history.instants
        seen = n_up_to(self.stop, group_end - 1)
        gone = n_up_to(self.start, group_start)

        # A group is clean wherever it is seen and no span of one of its frauds covers it.
        position, enter, leave = self._spans
        group = np.searchsorted(group_end, position, side="right")
        in_order = np.lexsort((enter, group))
        group, enter, leave = group[in_order], enter[in_order], leave[in_order]
        enter = np.clip(enter, seen[group], gone[group])
        leave = np.clip(leave, enter, gone[group])
        covered_until = np.maximum.accumulate(group * (n + 1) + leave) - group * (n + 1)
        is_first = np.append(True, group[1:] != group[:-1])[: len(group)]
        is_last = np.append(group[1:] != group[:-1], True)[: len(group)]
        clean_since = np.where(is_first, seen[group], np.append(0, covered_until)[:-1])
        never = np.ones(len(group_end), dtype=bool)
        never[group] = False
        last_group = group[is_last]
        clean_end = highest_covering(
            np.concatenate([seen[never], clean_since, covered_until[is_last]]),
            np.concatenate([gone[never], enter, gone[last_group]]),
            np.concatenate([group_end[never], group_end[group], group_end[last_group]]),
            n,
        )
        return np.maximum(clean_end, self.start)

    @once
    def _spans(self) -> tuple[Ints, Ints, Ints]:
        """Of each known fraud: its position, and the positions that see it as one: ``(E,)``."""
        history = self.history
        position = self.frauds.at
        instant = history.instant[position]
        seen = min(self.delay, history.reach)
        gone = min(self.delay + self.window, history.reach)
        enter = history.first_since(position, (self.frauds.since - instant).clip(seen, gone))
        leave = history.first_since(position, (self.frauds.until - instant).clip(0, gone))
        # Known or not, a transaction's own label is none of its features.
        enter = np.maximum(enter, position + 1)
        return position, enter, np.maximum(enter, leave)
