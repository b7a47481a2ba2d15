"""A journal in PostgreSQL 14 or later, through psycopg 3.

A call is one round trip. An entry is on the server's disk when `append` returns, as far as the
server's `synchronous_commit` says so.
"""

from __future__ import annotations

from typing import Any

from data_connector.journal_backends import Entry, Found, Row, through_token
from data_connector.locations import DatabaseLocation
from data_connector.postgresql_connection import PostgresqlConnection

# Its lock orders the writers. What follows is a statement of its own: it sees what was committed
# while this one waited.
_LOCK = "SELECT FROM journal_head FOR UPDATE"

# The last position is the last entry's, or where all are forgotten the last of those.
_HEAD = """
    SELECT trimmed, greatest(trimmed, (SELECT max(position) FROM journal_entries)) AS last
    FROM journal_head
"""

# A row without an entry where there is none; the new entry is not among them.
_APPEND = f"""
    WITH head AS MATERIALIZED ({_HEAD}), there AS MATERIALIZED (
        SELECT position, token, value FROM journal_entries
        WHERE position > %b AND EXISTS (SELECT FROM head WHERE %b BETWEEN trimmed AND last)
    ), added AS (
        INSERT INTO journal_entries (position, token, value)
        SELECT last + 1, %b, %b FROM head
        WHERE %b BETWEEN trimmed AND last AND NOT EXISTS (SELECT FROM there WHERE token = %b)
    ) SELECT trimmed, last, there.* FROM head LEFT JOIN there ON true ORDER BY position
"""  # noqa: S608 - of what stands above

_SINCE = f"""
    SELECT head.*, page.* FROM ({_HEAD}) AS head LEFT JOIN LATERAL (
        SELECT position, token, value FROM journal_entries
        WHERE position > %b ORDER BY position LIMIT %b
    ) AS page ON true ORDER BY position
"""  # noqa: S608 - of what stands above

_TRIM = """
    WITH marked AS (
        UPDATE journal_head SET trimmed = least(%b, trimmed + %b) WHERE trimmed < %b
        RETURNING trimmed
    ) DELETE FROM journal_entries WHERE position <= (SELECT trimmed FROM marked)
"""


class PostgresqlJournal(PostgresqlConnection):
    """Two tables: entries by position, and one row that tells how far they are trimmed."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        super().__init__(location, name, kind="journal", word="journal")

    def connect(self) -> None:
        """Connect, and create what is missing."""
        super().connect()
        # One plan for each statement, which suits large tables though this one may be small when
        # it is made. With another isolation than this, writers that wait would fail.
        self._execute(
            "SELECT set_config('plan_cache_mode', 'force_generic_plan', false),"
            " set_config('enable_seqscan', 'off', false),"
            " set_config('default_transaction_isolation', 'read committed', false)"
        )
        self._create(
            ("journal_entries", "journal_head"),
            # Values of some kilobytes stay in the table: it is read and written in order.
            "CREATE TABLE IF NOT EXISTS journal_entries (position BIGINT PRIMARY KEY,"
            " token BIGINT NOT NULL, value BYTEA NOT NULL) WITH (toast_tuple_target = 8160)",
            "CREATE TABLE IF NOT EXISTS journal_head (format BIGINT NOT NULL,"
            " trimmed BIGINT NOT NULL)",
            "INSERT INTO journal_head SELECT %b, 0 WHERE NOT EXISTS (SELECT FROM journal_head)",
        )
        self._check(
            "SELECT position, token, value, trimmed FROM journal_entries, journal_head LIMIT 0",
            "SELECT format FROM journal_head",
        )

    def append(self, value: bytes, token: int, after: int) -> Found:
        """Two statements, sent together: what is sent so is one transaction."""
        with self._open.pipeline():
            self._execute(_LOCK)
            cursor = self._execute(_APPEND, after, after, token, value, after, token)
        trimmed, last, rows = _read(cursor.fetchall())
        entries, done = through_token(rows, token)
        found = Found(trimmed, last, entries)
        if done or not found.knows(after):
            return found
        entries.append(Entry(last + 1, value))
        return Found(trimmed, last + 1, entries)

    def since(self, after: int, limit: int) -> Found:
        """One statement."""
        trimmed, last, rows = _read(self._rows(_SINCE, after, limit))
        return Found(trimmed, last, [Entry(position, value) for position, _, value in rows])

    def head(self) -> Found:
        """One statement."""
        trimmed, last = self._row(_HEAD)
        return Found(trimmed, last, [])

    def trim(self, through: int, limit: int) -> bool:
        """One statement, that moves the mark and deletes what is before it."""
        return self._execute(_TRIM, through, limit, through).rowcount > 0


def _read(found: list[Any]) -> tuple[int, int, list[Row]]:
    trimmed, last, first, _, _ = found[0]
    rows = [] if first is None else [(place, token, value) for _, _, place, token, value in found]
    return trimmed, last, rows
