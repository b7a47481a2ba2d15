"""A feature store in PostgreSQL 14 or later, through psycopg 3.

A call is one statement, and so one round trip and one transaction, but for `replace_all`. A put is
on the server's disk when it returns, as far as the server's `synchronous_commit` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from data_connector.errors import ConnectorError, SourceUnreachableError
from data_connector.feature_backends import FORMAT, Page, Row, not_a_store
from data_connector.locations import DatabaseLocation
from data_connector.postgresql import open_postgresql

# Seconds to wait for a server that does not answer, and for a lock that somebody holds.
_CONNECT_TIMEOUT = 10
_LOCK_TIMEOUT = 5

# The server ends the session, or does not begin one (it is starting, or has too many).
_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05"})
_LOCKED = frozenset({"40001", "40P01", "55P03"})


_PUT = """
    WITH given AS (
        SELECT * FROM unnest(%b::bytea[], %b::bigint[], %b::bytea[])
            AS given (key, expected, value)
    ), there AS MATERIALIZED (
        SELECT key, version FROM features_values
        WHERE generation = (SELECT current FROM features_meta) AND key = ANY(%b::bytea[])
        ORDER BY key FOR UPDATE
    ), conflicts AS MATERIALIZED (
        SELECT key FROM given LEFT JOIN there USING (key)
        WHERE coalesce(there.version, 0) NOT IN (given.expected, %b)
    ), updated AS (
        UPDATE features_values AS old SET version = %b, value = given.value
        FROM given JOIN there USING (key)
        WHERE old.generation = (SELECT current FROM features_meta) AND old.key = given.key
        AND NOT EXISTS (SELECT FROM conflicts)
    ), inserted AS (
        INSERT INTO features_values (generation, key, version, value)
        SELECT (SELECT current FROM features_meta), key, %b, value FROM given
        WHERE NOT EXISTS (SELECT FROM conflicts)
        AND NOT EXISTS (SELECT FROM there WHERE there.key = given.key)
        ORDER BY key
    ) SELECT key FROM conflicts
"""

_DELETE = """
    WITH there AS MATERIALIZED (
        SELECT key FROM features_values
        WHERE generation = (SELECT current FROM features_meta) AND key = ANY(%b::bytea[])
        ORDER BY key FOR UPDATE
    ) DELETE FROM features_values AS old USING there
    WHERE old.generation = (SELECT current FROM features_meta) AND old.key = there.key
"""

_PAGE = """
    SELECT current, page.* FROM features_meta LEFT JOIN LATERAL (
        SELECT key, version, value FROM features_values
        WHERE generation = current AND key > %b ORDER BY key LIMIT %b
    ) AS page ON true ORDER BY key
"""

_BUILD = """
    WITH added AS (
        INSERT INTO features_values (generation, key, value, version)
        SELECT building, given.*, building
        FROM features_meta, unnest(%b::bytea[], %b::bytea[]) AS given
        WHERE building = %b
        ON CONFLICT (generation, key)
        DO UPDATE SET version = excluded.version, value = excluded.value
    ) SELECT building = %b FROM features_meta
"""

_CLEAN = """
    DELETE FROM features_values WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM features_values WHERE generation = %b LIMIT %b FOR UPDATE SKIP LOCKED
    ))
"""


class PostgresqlFeatures:
    """Two tables: values by generation and key, and one row that tells the generations."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        self._dialect = open_postgresql(location).dialect
        self._name = name
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """All of psycopg's."""
        return (psycopg.Error,)

    def lost(self, error: Exception) -> bool:
        """By what the server said, or the driver saw."""
        if self._connection is None or self._connection.closed:
            return True
        return isinstance(error, psycopg.Error) and error.sqlstate in _ENDED

    def translate(self, error: Exception) -> ConnectorError:
        """As for tables."""
        if isinstance(error, psycopg.Error) and error.sqlstate in _LOCKED:
            return SourceUnreachableError(
                f"{self._dialect.location} is in use ({error.diag.message_primary}): let the "
                "other transaction end, then repeat"
            )
        return self._dialect.translate(error)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def connect(self) -> None:
        """Connect, and create what is missing."""
        url = self._dialect.location.url
        _, options = url.get_dialect()().create_connect_args(url)
        options.setdefault("connect_timeout", _CONNECT_TIMEOUT)
        self._connection = psycopg.connect(**options, autocommit=True)
        self._execute(
            "SELECT set_config('lock_timeout', %b, false)"
            " WHERE current_setting('lock_timeout') = '0'",  # else the URL's or the role's
            f"{_LOCK_TIMEOUT}s",
        )
        self._create()
        self._check()

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """One statement."""
        return self._rows(
            "SELECT key, version, value FROM features_values WHERE key = ANY(%b::bytea[])"
            " AND generation = (SELECT current FROM features_meta)",
            list(keys),
        )

    def put(self, rows: Sequence[Row], version: int) -> list[bytes]:
        """One statement, that locks the rows in the order of their keys, compares and writes."""
        keys, expected, values = (list(column) for column in zip(*rows, strict=True))
        while True:
            try:
                found = self._rows(_PUT, keys, expected, values, keys, version, version, version)
            except psycopg.errors.UniqueViolation:
                # Somebody else created a key that was not there when this statement began. It
                # is there now: the next turn finds the conflict.
                continue
            return [key for (key,) in found]

    def delete(self, keys: Sequence[bytes]) -> None:
        """One statement, that locks the rows in the order of their keys."""
        self._execute(_DELETE, list(keys))

    def page(self, cursor: object | None, limit: int) -> Page:
        """The rows after the key `cursor`, in their order."""
        after = b"" if cursor is None else cursor
        # The generation comes with every row, and alone where there is none: one snapshot.
        found = self._rows(_PAGE, after, limit)
        rows = [(key, version, value) for _, key, version, value in found if key is not None]
        last = rows[-1][0] if len(rows) == limit else None
        return Page(generation=found[0][0], rows=rows, cursor=last)

    def begin(self, generation: int) -> None:
        """Note it."""
        self._execute("UPDATE features_meta SET building = %b", generation)

    def build(self, generation: int, rows: Sequence[tuple[bytes, bytes]]) -> bool:
        """Write rows that no reader looks at yet."""
        keys, values = (list(column) for column in zip(*rows, strict=True))
        (building,) = self._row(_BUILD, keys, values, generation, generation)
        return bool(building)

    def swap(self, generation: int) -> bool:
        """Change which generation is current.

        No lock: a put that is at work writes to the old generation still, as if it had been done
        before.
        """
        self._execute(
            "UPDATE features_meta SET current = building, building = 0 WHERE building = %b",
            generation,
        )
        (current,) = self._row("SELECT current FROM features_meta")
        return bool(current == generation)

    def abandon(self, generation: int) -> None:
        """Forget it."""
        self._execute("UPDATE features_meta SET building = 0 WHERE building = %b", generation)

    def clean(self, limit: int) -> bool:
        """Delete rows of one generation that is neither current nor being built."""
        live = self._row("SELECT current, building FROM features_meta")
        found: int | None = -1
        # From one generation to the next by the index: there may be millions of rows in each.
        while found == -1 or found in live:
            (found,) = self._row(
                "SELECT min(generation) FROM features_values WHERE generation > %b", found
            )
        if found is None:
            return False
        # Once neither, it is neither for ever. Rows that a put still holds are for the next time.
        return self._execute(_CLEAN, found, limit).rowcount > 0

    @property
    def _open(self) -> psycopg.Connection[Any]:
        assert self._connection is not None  # noqa: S101 - the store connects first
        return self._connection

    def _execute(self, statement: str, *values: object) -> psycopg.Cursor[Any]:
        # A name has letters, digits and `_` only.
        named = statement.replace("features", self._name)
        return self._open.execute(named, values, prepare=True, binary=True)

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return self._execute(statement, *values).fetchall()

    def _row(self, statement: str, *values: object) -> Any:
        return self._execute(statement, *values).fetchone()

    def _create(self) -> None:
        # Asked first: a role that may not create tables may use those that are there.
        names = [f"{self._name}_values", f"{self._name}_meta"]
        if any(
            self._row("SELECT to_regclass(%b) IS NOT NULL, to_regclass(%b) IS NOT NULL", *names)
        ):
            return
        with self._open.transaction():
            # CREATE TABLE IF NOT EXISTS fails where two do it at once. The number is any.
            self._execute("SELECT pg_advisory_xact_lock(5236897126478231)")
            self._execute(
                "CREATE TABLE IF NOT EXISTS features_values (generation BIGINT NOT NULL,"
                " key BYTEA NOT NULL, version BIGINT NOT NULL, value BYTEA NOT NULL,"
                " PRIMARY KEY (generation, key))"
            )
            self._execute(
                "CREATE TABLE IF NOT EXISTS features_meta (format BIGINT NOT NULL,"
                " current BIGINT NOT NULL, building BIGINT NOT NULL)"
            )
            self._execute(
                "INSERT INTO features_meta SELECT %b, 1, 0"
                " WHERE NOT EXISTS (SELECT FROM features_meta)",
                FORMAT,
            )

    def _check(self) -> None:
        place = self._dialect.location
        try:
            self._execute("SELECT generation, key, version, value FROM features_values LIMIT 0")
            formats = self._rows("SELECT format FROM features_meta")
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise not_a_store(place, self._name, f"{error.diag.message_primary}") from None
        if formats != [(FORMAT,)]:
            raise not_a_store(place, self._name, f"it says {formats}")
