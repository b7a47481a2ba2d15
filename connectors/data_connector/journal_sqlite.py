"""A journal in a SQLite file; how durable it is, `sqlite_connection` tells."""

from __future__ import annotations

from data_connector.journal_backends import Entry, Found, through_token
from data_connector.locations import DatabaseLocation
from data_connector.sqlite_connection import SqliteConnection

# The last position is the last entry's, or where all are forgotten the last of those.
_HEAD = """
    SELECT trimmed, coalesce((SELECT max(position) FROM journal_entries), trimmed)
    FROM journal_head
"""

_ENTRIES = """
    SELECT position, token, value FROM journal_entries
    WHERE position > ? ORDER BY position LIMIT ?
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
            found = self.head()
            if not found.knows(after):
                return found
            trimmed, last, _ = found
            rows = self._execute(_ENTRIES, after, _ALL) if after < last else ()
            entries, done = through_token(rows, token)
            if not done:
                last += 1
                self._execute("INSERT INTO journal_entries VALUES (?, ?, ?)", last, token, value)
                entries.append(Entry(last, value))
            return Found(trimmed, last, entries)

    def since(self, after: int, limit: int) -> Found:
        """One statement where nothing is new."""
        found = self.head()
        if after == found.last or not found.knows(after):
            return found
        with self._transaction("BEGIN"):
            trimmed, last, _ = self.head()
            rows = self._execute(_ENTRIES, after, limit).fetchall()
        return Found(trimmed, last, [Entry(position, value) for position, _, value in rows])

    def head(self) -> Found:
        """One statement."""
        trimmed, last = self._execute(_HEAD).fetchone()
        return Found(trimmed, last, [])

    def trim(self, through: int, limit: int) -> bool:
        """Move the mark and delete what is before it."""
        with self._transaction("BEGIN IMMEDIATE"):
            trimmed, _, _ = self.head()
            mark = min(through, trimmed + limit)
            if mark <= trimmed:
                return False
            self._execute("UPDATE journal_head SET trimmed = ?", mark)
            self._execute("DELETE FROM journal_entries WHERE position <= ?", mark)
            return True
