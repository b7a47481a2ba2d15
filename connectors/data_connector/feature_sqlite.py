"""A feature store in a SQLite file, for the processes of one machine.

The file keeps a write-ahead log beside it: readers never wait, writers wait for one another. With
`synchronous=NORMAL` a put is in the hands of the operating system when it returns. It survives
the process, however that ends; after a crash of the machine the last ones may be gone, each of
them whole, and the file is in order (https://sqlite.org/wal.html). About every fourth megabyte a
put also brings the log into the file, which takes it some milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_connector.errors import (
    ConnectorError,
    SourceNotFoundError,
    UnsupportedSourceError,
)
from data_connector.feature_backends import FORMAT, Page, Row, not_a_store
from data_connector.locations import DatabaseLocation
from data_connector.sqlite import open_sqlite

# Seconds to wait for another writer; `?timeout=` in the URL overrules it.
_TIMEOUT = 5.0

# Keys in one statement: builds of SQLite take 32,766 parameters or more since 3.32.
_PARAMETERS = 30_000


class SqliteFeatures:
    """Two tables: values by generation and key, and one row that tells the generations."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        self._dialect = open_sqlite(location).dialect
        self._path = Path(location.url.database or "")
        self._timeout = _timeout_of(location)
        self._name = name
        self._connection: sqlite3.Connection | None = None

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """All of sqlite3's."""
        return (sqlite3.Error,)

    def lost(self, error: Exception) -> bool:  # noqa: ARG002
        """Never: a file that fails fails again."""
        return False

    def translate(self, error: Exception) -> ConnectorError:
        """As for tables."""
        return self._dialect.translate(error)

    @property
    def connected(self) -> bool:
        """Whether the file is open."""
        return self._connection is not None

    def connect(self) -> None:
        """Open the file, and create what is missing."""
        if not self._path.absolute().parent.is_dir():
            raise SourceNotFoundError(f"no folder {self._path.parent}: create it first")
        # Transactions are begun by hand; the store sees to it that threads take turns.
        self._connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        if self._value("PRAGMA journal_mode = WAL") != "wal":
            raise UnsupportedSourceError(
                f"{self._path} cannot have a write-ahead log: put it on a disk of this machine"
            )
        self._execute("PRAGMA synchronous = NORMAL")
        self._create()
        self._check()

    def disconnect(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

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

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101 - the store connects first
        return self._connection

    def _named(self, statement: str) -> str:
        # A name has letters, digits and `_` only.
        return statement.replace("features", self._name)

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._open.execute(self._named(statement), values)

    def _value(self, statement: str, *values: object) -> Any:
        (value,) = self._execute(statement, *values).fetchone()
        return value

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._execute(begin)
        try:
            yield
            self._execute("COMMIT")
        finally:
            if self._open.in_transaction:  # SQLite ends some by itself, as when the disk is full
                self._execute("ROLLBACK")

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

    def _create(self) -> None:
        tables = "SELECT count(*) FROM sqlite_master WHERE name IN (?, ?)"
        if self._value(tables, f"{self._name}_values", f"{self._name}_meta"):
            return
        with self._transaction("BEGIN IMMEDIATE"):
            if self._value(
                tables, f"{self._name}_values", f"{self._name}_meta"
            ):  # another process was faster
                return
            # With rowids: values of some kilobytes do not fit into the pages of an index.
            self._execute(
                "CREATE TABLE features_values (generation INTEGER NOT NULL, key BLOB NOT NULL,"
                " version INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (generation, key))"
            )
            self._execute(
                "CREATE TABLE features_meta (format INTEGER NOT NULL, current INTEGER NOT NULL,"
                " building INTEGER NOT NULL)"
            )
            self._execute("INSERT INTO features_meta VALUES (?, 1, 0)", FORMAT)

    def _check(self) -> None:
        try:
            self._execute("SELECT generation, key, version, value FROM features_values LIMIT 0")
            formats = self._execute("SELECT format FROM features_meta").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_ERROR":
                raise
            raise not_a_store(self._path, self._name, str(error)) from None
        if formats != [(FORMAT,)]:
            raise not_a_store(self._path, self._name, f"it says {formats}")


def _timeout_of(location: DatabaseLocation) -> float:
    options = dict(location.url.query)
    timeout = options.pop("timeout", _TIMEOUT)
    try:
        if options:
            raise ValueError
        return float(timeout)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UnsupportedSourceError(
            f"a feature store in SQLite takes the one option ?timeout=SECONDS: {location}"
        ) from None
