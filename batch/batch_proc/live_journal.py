"""The journal of the running service while a state is rebuilt beside it.

What the journal still holds counts as it says, in its order. What it no longer holds, or never
did, counts as the history says. So each transaction counts once, whichever of the two has it.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from batch_proc.errors import BackfillError
from batch_proc.timeline import NEVER
from data_connector import Entry, JournalHolds, JournalTrimmedError, open_journal
from fraud_ml import journal_entries
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.journal_entries import Transactions
from fraud_ml.replica import Replica, name_of_snapshots
from fraud_ml.transactions import transaction_columns

HOLD = 3_600.0
"""Seconds after the last sign of life for which the journal is kept for us."""

_TRIES = 10
_AT_ONCE = 1_000  # entries in memory


class LiveJournal:
    """The entries after a position, which nobody trims as long as this is at work."""

    def __init__(self, url: str, spec: FeatureSpec) -> None:
        """Opens the journal, and holds what is there of it.

        Args:
            url: of the feature store.
            spec: of the features.

        Raises:
            ConnectorError: it cannot be opened.
        """
        self._who = f"backfill {name_of_snapshots(spec)}"
        self._spec = spec
        self._columns = transaction_columns(spec)
        self._open = ExitStack()
        self._journal = self._open.enter_context(open_journal(url))
        self._holds = JournalHolds(url)
        self._open.callback(self._holds.close)
        self.start = 0
        """Entries up to this position are of no use: they are trimmed."""
        self.ids: set[Any] = set()
        """Of the transactions that the entries after the start have, with all that we read."""
        self.lacking: set[Any] = set()
        """Of those that they have without: they count if the history has them."""
        self._seen = 0
        self._times: deque[int] = deque()  # of the next entries that are not applied
        self._untimed = 0  # entries after those, without transactions
        self._entries: deque[Entry] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def begin(self) -> None:
        """Starts with what the journal holds as of now.

        Raises:
            BackfillError: it is trimmed all the time.
        """
        self._holds.hold(self._who, 0, seconds=HOLD)
        for _ in range(_TRIES):  # one who trims may not know of the hold yet
            self.start = self._journal.trimmed()
            try:
                self._read_on()
            except JournalTrimmedError:
                continue
            self.keep(self.start)
            return
        raise BackfillError("the journal is trimmed faster than it can be read: run this again")

    def resume(self, start: int, position: int) -> None:
        """Goes on with a run that had started at ``start`` and applied up to ``position``.

        Raises:
            BackfillError: what it still needs has been trimmed.
        """
        self.start = start
        self.keep(start)
        self.refresh()
        for _ in range(position - start):
            self._pop()

    def keep(self, position: int) -> None:
        """Renews the hold, on the entries after ``position``."""
        self._holds.hold(self._who, position, seconds=HOLD)

    def refresh(self) -> None:
        """Takes note of the entries that others have appended.

        Raises:
            BackfillError: some have been trimmed.
        """
        try:
            self._read_on(after=max(self._seen, self.start))
        except JournalTrimmedError as error:
            raise _trimmed() from error

    def next_time(self) -> int:
        """When the next entry happened: the median of its transactions' times.

        One without is just before the next that has some; :data:`NEVER` where there is none.
        """
        if self._times:
            return self._times[0]
        return NEVER - 1 if self._untimed else NEVER

    def apply_next(self, replica: Replica) -> int:
        """Applies the next entry; how many transactions it had.

        Raises:
            BackfillError: it has been trimmed.
        """
        if not self._entries:
            try:
                self._entries.extend(self._journal.since(replica.position, limit=_AT_ONCE))
            except JournalTrimmedError as error:
                raise _trimmed() from error
        entry = self._entries.popleft()
        self._pop()
        if self._lacks_columns(entry.value):
            replica.pass_over(entry.position, entry.value)
            return 0
        return len(replica.apply(entry.position, entry.value))

    def last(self) -> int:
        """The last position of the journal."""
        return self._journal.last()

    def check_types(self, history: pa.Schema) -> None:
        """Refuses a history in which ids and keys are of other types than in the journal.

        Raises:
            DataError: the same customer would be two.
        """
        for entry in self._journal.since(self.start, limit=_AT_ONCE):
            transactions = _transactions_of(entry.value)
            for name in self._told_apart() if transactions else ():
                values = transactions.columns.get(name, ()) if transactions else ()
                _check_type(name, values, history.field(name).type)

    def _told_apart(self) -> Iterable[str]:
        numbers = {"timestamp", "amount", *self._spec.numbers}
        return [name for name in self._columns if name not in numbers]

    def _read_on(self, after: int | None = None) -> None:
        if after is None:  # from the start
            after, self.ids, self.lacking = self.start, set(), set()
            self._times, self._untimed = deque(), 0
        while entries := self._journal.since(after, limit=_AT_ONCE):
            for entry in entries:
                self._note(entry.value)
            after = self._seen = entries[-1].position

    def _note(self, value: bytes) -> None:
        transactions = _transactions_of(value)
        times = () if transactions is None else transactions.columns.get("timestamp", ())
        if transactions is None or not len(times):
            self._untimed += 1
            return
        ids = transactions.columns.get("transaction_id", ())
        (self.lacking if self._lacks(transactions) else self.ids).update(ids)
        self._times.extend([statistics.median_low(times)] * (self._untimed + 1))
        self._untimed = 0

    def _pop(self) -> None:
        if self._times:
            self._times.popleft()
        else:
            self._untimed -= 1

    def _lacks_columns(self, value: bytes) -> bool:
        transactions = _transactions_of(value)
        return transactions is not None and self._lacks(transactions)

    def _lacks(self, transactions: Transactions) -> bool:
        return any(name not in transactions.columns for name in self._columns)


def _transactions_of(value: bytes) -> Transactions | None:
    try:
        entry = journal_entries.decode(value)
    except ValueError:  # of no use to anyone who applies it, either
        return None
    return entry if isinstance(entry, Transactions) else None


def _check_type(name: str, values: Iterable[Any], history: pa.DataType) -> None:
    kinds = {str: pa.types.is_string, bool: pa.types.is_boolean, int: pa.types.is_integer}
    for value in values:
        if value is None:
            continue
        fits = kinds.get(type(value))
        if fits is None or not fits(history):
            raise DataError(
                f"column {name!r}: the service is sent values like {value!r}, and the history has"
                f" {history}: the same would be taken for two; cast the column in the history to"
                " what callers of the service send"
            )


def _trimmed() -> BackfillError:
    return BackfillError(
        "the journal of the running service was trimmed before this had read it (a run that was"
        f" broken off has {HOLD / 3600:g} h to go on): run it anew, without --resume"
    )
