"""A feature store in a SQLite file; how durable it is, `sqlite_connection` tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from data_connector.feature_backends import Page, Row
from data_connector.locations import DatabaseLocation
from data_connector.sqlite_connection import SqliteConnection

# Keys in one statement: builds of SQLite take 32,766 parameters or more since 3.32.
_PARAMETERS = 30_000


class SqliteFeatures(SqliteConnection):
    """Two tables: values by generation and key, and one row that tells the generations."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        super().__init__(location, name, kind="feature store", word="features")

    def connect(self) -> None:
        """Open the file, and create what is missing."""
        super().connect()
        # With rowids: values of some kilobytes do not fit into the pages of an index.
        self._create(
            ("features_values", "features_meta"),
            "CREATE TABLE features_values (generation INTEGER NOT NULL, key BLOB NOT NULL,"
            " version INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (generation, key))",
            "CREATE TABLE features_meta (format INTEGER NOT NULL, current INTEGER NOT NULL,"
            " building INTEGER NOT NULL)",
            "INSERT INTO features_meta VALUES (?, 1, 0)",
        )
        self._check(
            "SELECT generation, key, version, value FROM features_values LIMIT 0",
            "SELECT format FROM features_meta",
        )

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """One statement, unless there are very many keys."""
        if len(keys) <= _PARAMETERS:
            return self._rows(keys, "key, version, value")
        with self._transaction("BEGIN"):
            return self._rows(keys, "key, version, value")

    def put(self, rows: Sequence[Row], version: int) -> list[bytes]:
        """Compare and write under the one lock that a writer takes."""
        with self._transaction("BEGIN IMMEDIATE"):
            keys = [key for key, _, _ in rows]
            there: dict[bytes, int] = dict(self._rows(keys, "key, version"))
            conflicts = [key for key, of, _ in rows if there.get(key, 0) not in (of, version)]
            if not conflicts:
                self._write(self._generation(), ((key, value) for key, _, value in rows), version)
            return conflicts

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete them."""
        with self._transaction("BEGIN IMMEDIATE"):
            self._open.executemany(
                self._named(
                    "DELETE FROM features_values WHERE key = ?"
                    " AND generation = (SELECT current FROM features_meta)"
                ),
                [(key,) for key in keys],
            )

    def page(self, cursor: object | None, limit: int) -> Page:
        """The rows after the key `cursor`, in their order."""
        with self._transaction("BEGIN"):
            generation = self._generation()
            rows = self._execute(
                "SELECT key, version, value FROM features_values"
                " WHERE generation = ? AND key > ? ORDER BY key LIMIT ?",
                generation,
                b"" if cursor is None else cursor,
                limit,
            ).fetchall()
        after = rows[-1][0] if len(rows) == limit else None
        return Page(generation=generation, rows=rows, cursor=after)

    def begin(self, generation: int) -> None:
        """Note it."""
        self._execute("UPDATE features_meta SET building = ?", generation)

    def build(self, generation: int, rows: Sequence[tuple[bytes, bytes]]) -> bool:
        """Write rows that no reader looks at yet."""
        with self._transaction("BEGIN IMMEDIATE"):
            if self._value("SELECT building FROM features_meta") != generation:
                return False
            self._write(generation, rows, generation)
            return True

    def swap(self, generation: int) -> bool:
        """Change which generation is current."""
        with self._transaction("BEGIN IMMEDIATE"):
            self._execute(
                "UPDATE features_meta SET current = building, building = 0 WHERE building = ?",
                generation,
            )
            return self._generation() == generation

    def abandon(self, generation: int) -> None:
        """Forget it."""
        self._execute(
            "UPDATE features_meta SET building = 0 WHERE building = ?",
            generation,
        )

    def clean(self, limit: int) -> bool:
        """Delete rows of one generation that is neither current nor being built."""
        with self._transaction("BEGIN IMMEDIATE"):
            live = self._execute("SELECT current, building FROM features_meta").fetchone()
            found: int | None = -1
            # From one generation to the next by the index: there may be millions of rows in each.
            while found == -1 or found in live:
                found = self._value(
                    "SELECT min(generation) FROM features_values WHERE generation > ?",
                    found,
                )
            if found is None:
                return False
            self._execute(
                "DELETE FROM features_values WHERE rowid IN"
                " (SELECT rowid FROM features_values WHERE generation = ? LIMIT ?)",
                found,
                limit,
            )
            return True

    def _generation(self) -> int:
        return int(self._value("SELECT current FROM features_meta"))

    def _rows(self, keys: Sequence[bytes], columns: str) -> list[Any]:
        rows = []
        for start in range(0, len(keys), _PARAMETERS):
            some = keys[start : start + _PARAMETERS]
            marks = ",".join("?" * len(some))
            rows += self._execute(
                f"SELECT {columns} FROM features_values WHERE key IN ({marks})"  # noqa: S608
                " AND generation = (SELECT current FROM features_meta)",
                *some,
            ).fetchall()
        return rows

    def _write(self, generation: int, rows: Iterable[tuple[bytes, bytes]], version: int) -> None:
        self._open.executemany(
            self._named(
                "INSERT INTO features_values (generation, key, version, value)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (generation, key)"
                " DO UPDATE SET version = excluded.version, value = excluded.value"
            ),
            ((generation, key, version, value) for key, value in rows),
        )
