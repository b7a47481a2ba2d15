"""A state rebuilt from history and the live journal, and swapped in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from batch_proc.backfill_work import Progress, Work
from batch_proc.errors import BackfillError
from batch_proc.live_journal import LiveJournal
from batch_proc.timeline import NEVER, Stream, times_of, uncut
from data_connector import SnapshotStore, StoreReplacedError
from fraud_ml.replica import Replica, head_of

_TRIES = 10

OnProgress = Callable[[Progress], object]


class Rebuild:
    """Counts what the history and the journal say, in the order in which it became known."""

    def __init__(self, work: Work, progress: Progress, live: LiveJournal) -> None:
        """Goes on from ``progress``, which moves along.

        Args:
            work: holds the history.
            progress: how far it is.
            live: the journal, that far.
        """
        self._progress = progress
        self._replica = progress.replica
        self._live = live
        self._rows = Stream(work.transactions, "timestamp", progress.transactions)
        self._labels = Stream(work.labels, "labelled_at", progress.labels)
        self._work = work
        self._saved = time.monotonic()

    def run(self, *, save_every: float, on_progress: OnProgress) -> None:
        """Counts all that there is.

        Args:
            save_every: seconds from one time to the next that progress is kept.
            on_progress: told now and then.

        Raises:
            BackfillError: the journal was trimmed.
            ConnectorError: the journal cannot be read.
            DataError: the history has a value that cannot be.
        """
        while self._step():
            if time.monotonic() - self._saved >= save_every:
                self._live.keep(self._live.start)
                self._work.save(self._progress)
                self._saved = time.monotonic()
            on_progress(self._progress)

    def _step(self) -> bool:
        """Counts what comes next; False: there is nothing."""
        self._live.refresh()
        row, entry = self._rows.next_time(), self._live.next_time()
        if entry <= row and entry != NEVER:
            self._apply_entry(entry)
        elif row != NEVER:
            self._count(row, entry)
        else:
            self._learn(NEVER)
            return False
        return True

    def _apply_entry(self, now: int) -> None:
        """The next entry of the journal, and labels that are known by then."""
        given = self._learn(now)
        if (tied := self._labels.peek(now + 1, at_most=NEVER)) is not None:
            given.append(tied)  # comes again in its turn
        self._progress.counts.from_journal += self._live.apply_next(self._replica)
        for some in given:  # they may be about what the entry has
            self._give(some)

    def _count(self, now: int, before: int) -> None:
        """The next transactions of the history from before a time, and labels known by then."""
        self._learn(now)
        rows = self._rows.peek(before)
        assert rows is not None  # noqa: S101 - the caller has looked
        columns = _columns_of(rows)
        times = times_of(rows["timestamp"])
        known = self._labels.peek(int(times[-1]) + 1, at_most=NEVER)
        n_rows = uncut(times, columns["transaction_id"], known)
        last = int(times[n_rows - 1])
        self._learn(last)
        if (tied := self._labels.peek(last + 1, at_most=NEVER)) is not None:
            self._give(tied)
        self._rows.advance(n_rows)
        self._count_new({name: values[:n_rows] for name, values in columns.items()})

    def _count_new(self, columns: dict[str, list[Any]]) -> None:
        """Transactions of the history, but for those that the journal has."""
        ids = columns["transaction_id"]
        self._live.lacking.difference_update(ids)
        kept = [number for number, name in enumerate(ids) if name not in self._live.ids]
        if len(kept) < len(ids):
            columns = {name: [values[n] for n in kept] for name, values in columns.items()}
        if kept:
            self._replica.count(columns)
        self._progress.counts.from_history += len(kept)

    def _learn(self, before: int) -> list[pa.Table]:
        """Gives the next labels that were known before a time; which they were."""
        given = list(self._labels.take(before))
        for some in given:
            self._progress.counts.labels += some.num_rows
            self._give(some)
        return given

    def _give(self, labels: pa.Table) -> None:
        self._progress.counts.labels_of_use += self._replica.state.apply_labels(labels)


def swap_in(replica: Replica, store: SnapshotStore, live: LiveJournal) -> int:
    """Makes ``replica`` the stored state, at one moment, when it has followed the journal.

    Never in the place of a newer one: it follows the journal on until it is the newest.

    Returns:
        How many bytes are stored.

    Raises:
        BackfillError: others store all the time, or the journal was trimmed.
        ConnectorError: the store cannot be written, and is as it was.
    """

    def check(start: bytes | None) -> None:
        there = None if start is None else head_of(start)
        # A position that the journal never had is of another journal.
        if there is not None and replica.position < there.position <= live.last():
            raise _BehindError

    for _ in range(_TRIES):
        live.refresh()
        while live.next_time() != NEVER:
            live.apply_next(replica)
        replica.begin_here()
        content = replica.to_bytes()
        try:
            store.save(content, check=check)
        except (_BehindError, StoreReplacedError):  # the keeper of the service was faster
            continue
        live.keep(replica.position)
        return len(content)
    raise BackfillError("others have stored a state each time that this was to be: run it again")


class _BehindError(Exception):
    """What is stored is newer."""


def _columns_of(rows: pa.Table) -> dict[str, list[Any]]:
    return {
        name: (column.cast(pa.int64()) if name == "timestamp" else column).to_pylist()
        for name, column in zip(rows.column_names, rows.itercolumns(), strict=True)
    }
