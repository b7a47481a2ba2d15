"""What the journal asks of a database, and which module serves which URL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from data_connector.locations import Location
from data_connector.one_connection import Driver, backend_for


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a journal."""

    position: int
    """1 for the first that there ever was, and so on."""

    value: bytes


# Position, token, value.
Row = tuple[int, int, bytes]


class Found(NamedTuple):
    """What a backend found, all at one moment."""

    trimmed: int
    """The last position that is forgotten; 0 if none is."""

    last: int
    """The last position that there ever was."""

    entries: list[Entry]

    def knows(self, after: int) -> bool:
        """Whether it could tell all that came after that position."""
        return self.trimmed <= after <= self.last


class JournalBackend(Driver, Protocol):
    """A database with one journal in it, through one connection.

    Every operation is done whole or not at all, and may be repeated.
    """

    def append(self, value: bytes, token: int, after: int) -> Found:
        """Append unless there is an entry of this token after `after`, or `after` is not known.

        The entries are those from there to this one, which is the last; none if `after` is not
        known. The token is looked for each time, not only when repeated: what was sent through a
        connection that is lost may arrive after what was sent through the next.
        """

    def since(self, after: int, limit: int) -> Found:
        """The first `limit` entries after that position."""

    def head(self) -> Found:
        """No entries."""

    def trim(self, through: int, limit: int) -> bool:
        """Forget the first `limit` entries up to that position; False: there was none.

        The position is not beyond the last.
        """


# A scheme's backend.
_BACKENDS = {
    "sqlite": "data_connector.journal_sqlite:SqliteJournal",
    "postgresql": "data_connector.journal_postgresql:PostgresqlJournal",
    "redis": "data_connector.journal_redis:RedisJournal",
    "rediss": "data_connector.journal_redis:RedisJournal",
    "unix": "data_connector.journal_redis:RedisJournal",
}


def journal_backend(location: Location, name: str) -> JournalBackend:
    """The backend for the journal `name` at `location`, not connected yet.

    Raises:
        UnsupportedSourceError: no backend serves its scheme.
    """
    return cast(JournalBackend, backend_for("journal", location, name, _BACKENDS))


def through_token(rows: Iterable[Row], token: int) -> tuple[list[Entry], bool]:
    """The entries up to that of the token, and whether it is there."""
    entries = []
    for position, of, value in rows:
        entries.append(Entry(position, value))
        if of == token:
            return entries, True
    return entries, False
