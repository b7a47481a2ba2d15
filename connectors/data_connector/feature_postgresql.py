"""A feature store in PostgreSQL 14 or later, through psycopg 3.

A call is one statement, and so one round trip and one transaction, but for `replace_all`. A put is
on the server's disk when it returns, as far as the server's `synchronous_commit` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from data_connector.feature_backends import Page, Row
from data_connector.locations import DatabaseLocation
from data_connector.postgresql_connection import PostgresqlConnection

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

_NEXT_GENERATION = """
    SELECT current, building,
        (SELECT min(generation) FROM features_values WHERE generation > %b)
    FROM features_meta
"""

_CLEAN = """
    DELETE FROM features_values WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM features_values WHERE generation = %b LIMIT %b FOR UPDATE SKIP LOCKED
    ))
"""


class PostgresqlFeatures(PostgresqlConnection):
    """Two tables: values by generation and key, and one row that tells the generations."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        super().__init__(location, name, kind="feature store", word="features")

    def connect(self) -> None:
        """Connect, and create what is missing."""
        super().connect()
        self._create(
            ("features_values", "features_meta"),
            "CREATE TABLE IF NOT EXISTS features_values (generation BIGINT NOT NULL,"
            " key BYTEA NOT NULL, version BIGINT NOT NULL, value BYTEA NOT NULL,"
            " PRIMARY KEY (generation, key))",
            "CREATE TABLE IF NOT EXISTS features_meta (format BIGINT NOT NULL,"
            " current BIGINT NOT NULL, building BIGINT NOT NULL)",
            "INSERT INTO features_meta SELECT %b, 1, 0"
            " WHERE NOT EXISTS (SELECT FROM features_meta)",
        )
        self._check(
            "SELECT generation, key, version, value FROM features_values LIMIT 0",
            "SELECT format FROM features_meta",
        )

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
        swapped = self._execute(
            "UPDATE features_meta SET current = building, building = 0 WHERE building = %b",
            generation,
        ).rowcount
        # What is current tells only of a swap whose answer was lost: another's may be next.
        return swapped > 0 or self._row("SELECT current FROM features_meta") == (generation,)

    def abandon(self, generation: int) -> None:
        """Forget it."""
        self._execute("UPDATE features_meta SET building = 0 WHERE building = %b", generation)

    def clean(self, limit: int) -> bool:
        """Delete rows of one generation that is neither current nor being built."""
        found: int | None = -1
        live: list[int] = [-1]
        # From one generation to the next by the index: there may be millions of rows in each. One
        # statement, so that a generation whose rows are seen is seen to be built, too.
        while found in live:
            *live, found = self._row(_NEXT_GENERATION, found)
        if found is None:
            return False
        # Once neither, it is neither for ever. Rows that a put still holds are for the next time.
        return self._execute(_CLEAN, found, limit).rowcount > 0
