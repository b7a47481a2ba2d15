"""When which transaction is known to be a fraud, for all rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml import _formulas
from fraud_ml._windows import Floats, History, Ints, covering, highest_covering

_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class KnownFrauds:
    """Spans of time in which a transaction is known to be a fraud. Shape ``(E,)`` each."""

    row: Ints
    since: Ints
    """The first instant at which it is known."""
    until: Ints
    """The first instant at which it is known not to be one, after all."""

    @classmethod
    def of(cls, transactions: pa.Table, labels: pa.Table, resolution: int) -> KnownFrauds:
        """What ``labels`` say about ``transactions``: of each, the newest known label counts."""
        known = labels.filter(
            pc.and_(labels.column("is_fraud").is_valid(), labels.column("labelled_at").is_valid())
        )
        ever_fraud = known.filter(known.column("is_fraud")).column("transaction_id")
        known = known.filter(pc.is_in(known.column("transaction_id"), value_set=ever_fraud))
        row = pc.index_in(
            known.column("transaction_id"), value_set=transactions.column("transaction_id")
        )
        known = known.filter(row.is_valid())
        rows = row.drop_null().to_numpy().astype(np.int64)
        labelled_at = known.column("labelled_at").cast(pa.int64()).to_numpy()
        since = -(-labelled_at // resolution)
        in_order = np.lexsort((labelled_at, rows))
        rows, since = rows[in_order], since[in_order]
        is_fraud = known.column("is_fraud").to_numpy()[in_order]
        until = np.full(len(rows), _NEVER)
        again = rows[1:] == rows[:-1]
        until[:-1][again] = since[1:][again]
        return cls(row=rows[is_fraud], since=since[is_fraud], until=until[is_fraud])


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
        group_end = self.history.first_since(position, self.history.instant[position] + 1)
        enter = np.maximum(enter, np.searchsorted(self.stop, group_end, side="left"))
        leave = np.minimum(leave, np.searchsorted(self.stop, group_end, side="right"))
        frauds = covering(enter, leave, len(self.start))
        last = np.maximum(self.stop - 1, 0)
        count = self.stop - np.searchsorted(self.history.place, self.history.place[last])
        return _formulas.ratio(frauds, np.where(self.stop > self.start, count, 0))

    def last_fraud(self) -> Ints:
        """Position of the last known fraud in the window, -1 where there is none: ``(N,)``."""
        position, enter, leave = self._spans
        return highest_covering(enter, leave, position, len(self.start))

    def run_start(self) -> Ints:
        """Where the current run of frauds starts, at most ``stop``, where there is none: ``(N,)``.

        A run is a number of instants in a row, up to the window's last, with a known fraud each.
        """
        n = len(self.start)
        place = self.history.place
        group_end = np.append(np.flatnonzero(place[1:] != place[:-1]) + 1, n)
        group_start = np.append(0, group_end[:-1])
        seen = np.searchsorted(self.stop, group_end, side="left")
        gone = np.searchsorted(self.start, group_start, side="right")

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

    @cached_property
    def _spans(self) -> tuple[Ints, Ints, Ints]:
        """Of each known fraud: its position, and the positions that see it as one: ``(E,)``."""
        history = self.history
        position = history.position[self.frauds.row]
        instant = history.instant[position]
        enter = history.first_since(position, np.maximum(instant + self.delay, self.frauds.since))
        leave = history.first_since(
            position, np.minimum(instant + self.delay + self.window, self.frauds.until)
        )
        # Known or not, a transaction's own label is none of its features.
        enter = np.maximum(enter, position + 1)
        return position, enter, np.maximum(enter, leave)
