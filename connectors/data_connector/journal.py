"""A journal: values in one order, the same for all processes that read it."""

from __future__ import annotations

from functools import partial
from time import perf_counter, sleep
from typing import cast

from data_connector.errors import (
    CorruptSourceError,
    JournalReplacedError,
    JournalTrimmedError,
    OutcomeUnknownError,
)
from data_connector.journal_backends import Entry, Found, JournalBackend, journal_backend
from data_connector.locations import DatabaseLocation, parse
from data_connector.one_connection import MAX_NUMBER, OneConnection, check_name, random_number

__all__ = ["Entry", "Journal", "open_journal"]

# Entries that a trim forgets in one transaction: others wait that long to write.
_PIECE = 200


def open_journal(url: str, *, name: str = "journal") -> Journal:
    """The journal at `url`; what is missing of it is created.

    Args:
        url: `sqlite:///file.db`, `postgresql://...`, or for Redis `redis://...`, `rediss://...` or
            `unix:///path/of/socket`. `?synchronous=full` makes SQLite wait for the disk each time.
        name: several journals may share a database: a lower-case letter, then up to 39 lower-case
            letters, digits and `_`.

    Raises:
        ValueError: a name with other characters in it.
        UnsupportedSourceError: a URL of another kind.
        SourceNotFoundError: no such folder or database.
        SourceUnreachableError: the server refused or did not answer, or the file is in use.
        CorruptSourceError: what is there is no journal, or one of another version.
    """
    check_name("journal", name)
    location = parse(url)
    backend = journal_backend(location, name)
    # Only databases have a backend.
    return Journal(backend, cast(DatabaseLocation, location))


class Journal(OneConnection[JournalBackend]):
    """Entries at positions 1, 2, 3, ..., in the order in which they were committed.

    `open_journal` makes one. No position is left out or given twice, not even when the entries are
    trimmed. Values are bytes, which the journal does not look into.

    A replica applies every entry in order. If it keeps a snapshot of itself with the position that
    it has applied, the entries up to the oldest snapshot in use can be trimmed.

    Threads may share a journal, and take turns. A fork closes the connection before and opens one
    on each side when next used. A connection that is lost is opened again, once a call.
    """

    def append(self, value: bytes, *, after: int, token: int | None = None) -> list[Entry]:
        """Append; all entries after position `after`, in order, this one last.

        Nobody else's entry comes in between. The value is appended once: if the connection is lost
        and the answer with it, the entry is looked for by its token before it is appended again.

        Args:
            value: of the entry.
            after: the last position that was read, 0 for none. All entries after it are in memory
                at once: where there may be many, read them by `since` first.
            token: none at first. To find out how an append with `OutcomeUnknownError` went,
                repeat it with the same `value` and `after` and the error's `version`: it is done
                if it was not.

        Raises:
            ValueError: `after` or `token` is no such number, or the journal is closed.
            TypeError: the value is no bytes.
            JournalTrimmedError: entries after `after` are trimmed. Nothing was appended.
            JournalReplacedError: `after` is beyond the last position. Nothing was appended.
            OutcomeUnknownError: the connection was lost in between, and either there is no other
                yet, or entries after `after` have been trimmed since.
            WriteError: the database refused. Nothing was appended; `DiskFullError`: for want of
                room.
            ConnectorError: the database cannot be written. Nothing was appended.
        """
        if not isinstance(value, bytes):
            raise TypeError(f"a value is bytes, got {type(value).__name__}")
        _check_position("after", after)
        if token is not None and not 0 < token <= MAX_NUMBER:
            raise ValueError(f"no token: {token}; give an OutcomeUnknownError's version, or none")
        attempts = 0 if token is None else 1
        mark = random_number() if token is None else token

        def append() -> Found:
            nonlocal attempts
            attempts += 1
            return self._backend.append(value, mark, after)

        found = self._call(append, unknown=partial(self._unknown, mark))
        if attempts > 1 and after < found.trimmed:
            raise self._unknown(mark, f"and {self._trimmed(found)}")
        self._check(found, after, also="; nothing was appended")
        return found.entries

    def since(self, after: int, *, limit: int = 1_000) -> list[Entry]:
        """The entries after position `after`, in order; at most `limit`.

        Raises:
            ValueError: `after` or `limit` is no such number, or the journal is closed.
            JournalTrimmedError: some of them are trimmed.
            JournalReplacedError: `after` is beyond the last position.
            ConnectorError: the database cannot be read.
        """
        _check_position("after", after)
        if not 0 < limit <= MAX_NUMBER:
            raise ValueError(f"limit must be positive, got {limit=}")
        found = self._call(partial(self._backend.since, after, limit))
        self._check(found, after)
        return found.entries

    def last(self) -> int:
        """The last position that there ever was, trimmed or not; 0 if there was none.

        Raises:
            ValueError: the journal is closed.
            ConnectorError: the database cannot be read.
        """
        return self._call(self._backend.head).last

    def trimmed(self) -> int:
        """The position up to which entries are trimmed; 0 if none is.

        Raises:
            ValueError: the journal is closed.
            ConnectorError: the database cannot be read.
        """
        return self._call(self._backend.head).trimmed

    def trim(self, through: int) -> None:
        """Forget the entries up to and with position `through`, as far as there are any.

        In small transactions with pauses between them, so that no writer waits long. If it breaks
        off, some are forgotten: the first ones.

        Raises:
            ValueError: `through` is no such number, or the journal is closed.
            ConnectorError: the database cannot be written; or the connection was lost: repeat.
        """
        _check_position("through", through)
        through = min(through, self.last())
        begun = perf_counter()
        while self._call(partial(self._backend.trim, through, _PIECE)):
            # SQLite's writers do not queue: they look from time to time whether nobody writes.
            sleep(4 * (perf_counter() - begun))
            begun = perf_counter()

    def _check(self, found: Found, after: int, *, also: str = "") -> None:
        """Refuse what is not all that comes after `after`."""
        if after < found.trimmed:
            raise JournalTrimmedError(
                f"{self._trimmed(found)}, and those after {after:,} were asked for: load a newer "
                f"snapshot{also}"
            )
        if after > found.last:
            raise JournalReplacedError(
                f"the journal at {self._location} ends at position {found.last:,}, before "
                f"{after:,}: it was replaced, or restored from an old copy; start all replicas "
                f"anew, from one snapshot of it{also}"
            )
        entries = found.entries
        if len(entries) != (entries[-1].position if entries else found.last) - after:
            raise CorruptSourceError(
                f"entries after position {after:,} are missing in the journal at {self._location}: "
                "restore it from a copy, and start all replicas anew"
            )

    def _trimmed(self, found: Found) -> str:
        return f"the journal at {self._location} is trimmed up to position {found.trimmed:,}"

    def _unknown(self, token: int, since: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"the connection to {self._location} was lost during an append, {since}; repeat it "
            f"with the same value= and after=, and token={token}",
            version=token,
        )


def _check_position(argument: str, position: int) -> None:
    if not 0 <= position <= MAX_NUMBER:
        raise ValueError(f"{argument} must be a position, 0 or more, got {argument}={position}")
