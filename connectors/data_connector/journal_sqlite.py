"""A journal in a SQLite file; how durable it is, `sqlite_connection` tells."""

from __future__ import annotations

from data_connector.journal_backends import Entry, Found, Row, through_token
from data_connector.locations import DatabaseLocation
from data_connector.sqlite_connection import SqliteConnection

# The last position is the last entry's, or where all are forgotten the last of those.
_HEAD = """
    SELECT trimmed, coalesce((SELECT max(position) FROM journal_entries), trimmed)
    FROM journal_head
"""

# In one statement, and so of one moment; a row without an entry where there is none.
_SINCE = """
    SELECT trimmed, coalesce((SELECT max(position) FROM journal_entries), trimmed),
        position, token, value
    FROM journal_head LEFT JOIN journal_entries ON position > ? AND trimmed <= ?
    ORDER BY position LIMIT ?
"""
_ALL = -1


class SqliteJournal(SqliteConnection):
    """Two tables: entries by position, and one row that tells how far they are trimmed."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        super().__init__(location, name, kind="journal", word="journal")

    def connect(self) -> None:
        """Open the file, and create what is missing."""
        super().connect()
        self._create(
            ("journal_entries", "journal_head"),
            "CREATE TABLE journal_entries"
            " (position INTEGER PRIMARY KEY, token INTEGER NOT NULL, value BLOB NOT NULL)",
            "CREATE TABLE journal_head (format INTEGER NOT NULL, trimmed INTEGER NOT NULL)",
            "INSERT INTO journal_head VALUES (?, 0)",
        )
        self._check(
            "SELECT position, token, value, trimmed FROM journal_entries, journal_head LIMIT 0",
            "SELECT format FROM journal_head",
        )

    def append(self, value: bytes, token: int, after: int) -> Found:
        """Look and write under the one lock that a writer takes."""
        with self._transaction("BEGIN IMMEDIATE"):
            trimmed, last, rows = self._read(after, _ALL)
            entries, done = through_token(rows, token)
            found = Found(trimmed, last, entries)
            if done or not found.knows(after):
                return found
            self._execute("INSERT INTO journal_entries VALUES (?, ?, ?)", last + 1, token, value)
            entries.append(Entry(last + 1, value))
            return Found(trimmed, last + 1, entries)

    def since(self, after: int, limit: int) -> Found:
        """One statement."""
        trimmed, last, rows = self._read(after, limit)
        return Found(trimmed, last, [Entry(position, value) for position, _, value in rows])

    def head(self) -> Found:
        """One statement."""
        trimmed, last = self._execute(_HEAD).fetchone()
        return Found(trimmed, last, [])

    def trim(self, through: int, limit: int) -> bool:
        """Move the mark and delete what is before it."""
        with self._transaction("BEGIN IMMEDIATE"):
            trimmed, last, _ = self.head()
            mark = min(through, last, trimmed + limit)
            if mark <= trimmed:
                return False
            self._execute("UPDATE journal_head SET trimmed = ?", mark)
            self._execute("DELETE FROM journal_entries WHERE position <= ?", mark)
            return True

    def _read(self, after: int, limit: int) -> tuple[int, int, list[Row]]:
        found = self._execute(_SINCE, after, after, limit).fetchall()
        trimmed, last, first, _, _ = found[0]
        rows = (
            [] if first is None else [(place, token, value) for _, _, place, token, value in found]
        )
        return trimmed, last, rows
