"""One connection to a SQLite file, for the processes of one machine.

The file keeps a write-ahead log beside it: readers never wait, writers wait for one another. With
`synchronous=NORMAL` a write is in the hands of the operating system when it returns. It survives
the process, however that ends; after a crash of the machine the last ones may be gone, each of
them whole, and the file is in order (https://sqlite.org/wal.html). With `?synchronous=full` in the
URL each write waits for the disk, and survives that too. About every fourth megabyte a write also
brings the log into the file, which takes it some milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_connector.errors import ConnectorError, SourceNotFoundError, UnsupportedSourceError
from data_connector.locations import DatabaseLocation
from data_connector.one_connection import FORMAT, another_kind
from data_connector.sqlite import open_sqlite

# Seconds to wait for another writer; `?timeout=` in the URL overrules it.
_TIMEOUT = 5.0


class SqliteConnection:
    """A driver, as `OneConnection` asks for.

    Args:
        location: the file's.
        name: of what is kept in it; the names of its tables start so.
        kind: what that is, for messages.
        word: stands for the name in statements.
    """

    def __init__(self, location: DatabaseLocation, name: str, *, kind: str, word: str) -> None:
        self._dialect = open_sqlite(location).dialect
        self._path = Path(location.url.database or "")
        self._timeout, self._synchronous = _options(location, kind)
        self._name = name
        self._kind = kind
        self._word = word
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
        """Open the file, and create it if it is missing."""
        if not self._path.absolute().parent.is_dir():
            raise SourceNotFoundError(f"no folder {self._path.parent}: create it first")
        # Transactions are begun by hand; `OneConnection` sees to it that threads take turns.
        self._connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise UnsupportedSourceError(
                f"{self._path} cannot have a write-ahead log: put it on a disk of this machine"
            )
        self._connection.execute(f"PRAGMA synchronous = {self._synchronous}")

    def disconnect(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101 - `OneConnection` connects first
        return self._connection

    def _named(self, statement: str) -> str:
        # A name has letters, digits and `_` only.
        return statement.replace(self._word, self._name)

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

    def _create(self, tables: tuple[str, str], *statements: str) -> None:
        """Run the statements, unless one of the tables is there; each `?` is the format."""
        there = "SELECT count(*) FROM sqlite_master WHERE name IN (?, ?)"
        names = [self._named(table) for table in tables]
        if self._value(there, *names):
            return
        with self._transaction("BEGIN IMMEDIATE"):
            if self._value(there, *names):  # another process was faster
                return
            for statement in statements:
                self._execute(statement, *[FORMAT] * statement.count("?"))

    def _check(self, columns: str, formats: str) -> None:
        """Refuse tables without what the first statement reads, or of another format."""
        try:
            self._execute(columns)
            found = self._execute(formats).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_ERROR":
                raise
            raise another_kind(self._kind, self._path, self._name, str(error)) from None
        if found != [(FORMAT,)]:
            raise another_kind(self._kind, self._path, self._name, f"it says {found}")


def _options(location: DatabaseLocation, kind: str) -> tuple[float, str]:
    options = dict(location.url.query)
    timeout = options.pop("timeout", _TIMEOUT)
    synchronous = options.pop("synchronous", "normal")
    try:
        if options or synchronous not in ("normal", "full"):
            raise ValueError
        return float(timeout), str(synchronous)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UnsupportedSourceError(
            f"a {kind} in SQLite takes the options ?timeout=SECONDS and ?synchronous=full only: "
            f"{location}"
        ) from None
