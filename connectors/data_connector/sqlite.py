"""SQLite. Its values carry types of their own; what a column is declared as decides here.

Times are ISO 8601 text, those with a zone in UTC and ending in `Z`, so that they can be read by
people, compared as text and understood by SQLite's date functions. Decimals of more than 15
digits, which SQLite would round to a float, are text.
"""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
import sqlalchemy as sa

from data_connector import arrow_types
from data_connector.arrow_types import MICROSECONDS, UTC_MICROSECONDS
from data_connector.errors import (
    ConnectorError,
    CorruptSourceError,
    DiskFullError,
    QueryError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreachableError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.locations import DatabaseLocation
from data_connector.sql import SqlBackend
from data_connector.sql_dialect import Rows, TransactionalDialect, Values
from data_connector.sqlite_blocks import blocks, row_reader
from data_connector.sqlite_inserts import MOST_VALUES, ROWS_A_STATEMENT, Insert, row_writer
from data_connector.sqlite_library import Statement, with_handle
from data_connector.sqlite_rows import RowCode
from data_connector.sqlite_values import (
    EXACT_DIGITS,
    declared_values,
    stored_array,
    stored_values,
)
from data_connector.statements import execute, listed_names, quoted

# Rows held as Python's objects at a time: few enough to lie in the processor's cache.
_BLOCK_ROWS = 2_048

# Rows that machine code reads at a time.
_NATIVE_BLOCK_ROWS = 16_384

_HANDLE = "sqlite_handle"  # in what is known of a connection

_DECLARED = {
    "BOOLEAN": pa.bool_(),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "DATETIME": MICROSECONDS,
    "TIMESTAMP": MICROSECONDS,
    "TIMESTAMP WITHOUT TIME ZONE": MICROSECONDS,
    "TIMESTAMP WITH TIME ZONE": UTC_MICROSECONDS,
    "TIMESTAMPTZ": UTC_MICROSECONDS,
}
_DECIMAL = re.compile(r"(?:NUMERIC|DECIMAL|DECIMAL_TEXT)\((\d+)(?:,(\d+))?\)")

# SQLite's own rules for the affinity of any other declared type, in their order (section 3.1).
_AFFINITIES = (
    (("INT",), pa.int64()),
    (("CHAR", "CLOB", "TEXT"), pa.string()),
    (("BLOB",), pa.binary()),
    (("REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL"), pa.float64()),
)
_STORAGE_CLASSES = {
    "integer": pa.int64(),
    "real": pa.float64(),
    "text": pa.string(),
    "blob": pa.binary(),
    None: pa.null(),
}


def open_sqlite(location: DatabaseLocation) -> SqlBackend:
    """The backend for a SQLite file."""
    if not location.url.database or location.url.database == ":memory:":
        raise UnsupportedSourceError(
            "SQLite needs a file: write sqlite:///relative or sqlite:////absolute"
        )
    return SqlBackend(SqliteDialect(location), (sqlite3.Error,))


@dataclass(frozen=True, slots=True)
class SqliteDialect(TransactionalDialect):
    """SQLite through the library of Python's own `sqlite3`."""

    location: DatabaseLocation

    @property
    def path(self) -> Path:
        """The database's file."""
        return Path(self.location.url.database or "")

    def engine(self, *, create: bool) -> sa.Engine:
        """An engine that creates no file unless asked: sqlite3 by itself always would."""
        if not create and not self.path.exists():
            raise SourceNotFoundError(f"no SQLite database at {self.path}: check the path")
        if not self.path.absolute().parent.is_dir():
            raise SourceNotFoundError(f"no folder {self.path.parent}: create it first")
        # Read-write also to read: only so can SQLite undo what a killed writer left behind.
        url = self.location.url.set(database=f"file:{quote(str(self.path))}").update_query_dict(
            {"mode": "rwc" if create else "rw", "uri": "true"}
        )
        # Transactions are begun by hand: sqlite3 would leave CREATE and DROP out of them. A
        # reader may be collected, and its connection closed, by another thread.
        options = {"isolation_level": None, "check_same_thread": False}
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=options)
        sa.event.listen(engine, "do_connect", _connect)
        return engine

    def begin(self, connection: sa.Connection, *, write: bool) -> None:
        """Start a transaction; a writer takes its lock at once, and so fails at once."""
        execute(connection, "BEGIN IMMEDIATE" if write else "BEGIN")

    @contextmanager
    def rows(
        self,
        connection: sa.Connection,
        statement: str,
        parameters: Sequence[Any],
        batch_rows: int,
    ) -> Iterator[Rows]:
        """The rows: by machine code where there is some, else by `sqlite3`, one by one.

        Not through ADBC or whatever else brings a SQLite of its own: as it closes the file, this
        process loses the locks of its other connections to it
        (https://sqlite.org/howtocorrupt.html, section 2.2.1). Nor through ADBC in a process of its
        own: it takes a column's type from the first rows, and then turns blobs and numbers into
        text, text into blobs, and large integers into floats without a word.
        """
        reader = row_reader()
        if reader is not None:
            selected = self._statement(reader, connection, statement, parameters)
            with closing(selected):
                size = min(batch_rows, _NATIVE_BLOCK_ROWS)
                yield Rows(selected.names, blocks(reader, selected, size))
            return
        cursor: Any = connection.connection.cursor()
        with closing(cursor):
            cursor.execute(statement, parameters)
            names = [column[0] for column in cursor.description]
            yield Rows(names, _blocks(cursor, min(batch_rows, _BLOCK_ROWS)))

    def _statement(
        self,
        reader: RowCode,
        connection: sa.Connection,
        statement: str,
        parameters: Sequence[Any],
    ) -> Statement:
        """The statement on a connection of its own, which is to the same file in the same way."""
        (uri,), _ = connection.dialect.create_connect_args(connection.engine.url)
        patience = execute(connection, "PRAGMA busy_timeout").scalar_one()
        # One of the two reads at a time: a writer that waits for the first lets no second begin.
        execute(connection, "COMMIT")
        return Statement(reader.sqlite, uri, patience, statement, parameters)

    def compare(
        self,
        connection: sa.Connection,  # noqa: ARG002 - SQLite binds parameters
        column: str,
        kind: pa.DataType,
        comparison: str,
        key: pa.Scalar,
    ) -> tuple[str, list[Any]]:
        """By the stored values; of times, which others write in many ways, by the day alone."""
        value = key.as_py()
        if pa.types.is_timestamp(kind):
            # A day each way, since its day may be that of another zone; a day more, since the
            # text goes on after the day.
            try:
                value = value.date() + dt.timedelta(days=-1 if comparison == ">=" else 2)
            except OverflowError:
                return f"{column} IS NOT NULL", []
        if isinstance(value, dt.date):
            value = value.isoformat()
        if pa.types.is_decimal(kind):
            if kind.precision > EXACT_DIGITS:  # a text, which has another order
                return f"{column} IS NOT NULL", []
            value = float(value)  # as the stored ones are rounded
        if pa.types.is_string(kind):
            column += " COLLATE BINARY"
        return f"{column} {comparison} ?", [value]

    def describe(self, connection: sa.Connection, statement: str) -> pa.Schema:
        """The schema, from the types declared for the columns that the result comes from."""
        result = execute(connection, f"{statement} LIMIT 0")
        names = [column[0] for column in result.cursor.description]
        result.close()
        # sqlite3 does not tell a result's declared types, but SQLite tells a view's; it has
        # other names for columns called TRUE or FALSE.
        view = f"described_{uuid4().hex}"
        execute(connection, f"CREATE TEMP VIEW {view} AS {statement}")
        try:
            # Rows of position, name, declared type and more.
            columns: Any = execute(connection, f"PRAGMA table_info({view})").all()
            fields = []
            for name, (_, viewed, declared, *_) in zip(names, columns, strict=True):
                kind = declared_type(declared) or _first_type(connection, view, viewed)
                fields.append(pa.field(name, kind))
            return pa.schema(fields)
        finally:
            execute(connection, f"DROP VIEW {view}")

    def to_array(self, values: Values, kind: pa.DataType) -> pa.Array:
        """The values as an array of `kind`, exactly."""
        return declared_values(values, kind)

    def stored_type(self, kind: pa.DataType) -> pa.DataType | None:
        """Integers are 64 bits wide and floats double: SQLite has no others."""
        stored = arrow_types.stored_type(kind)
        if stored is None:
            return None
        if pa.types.is_integer(stored):
            return pa.int64()
        return pa.float64() if pa.types.is_floating(stored) else stored

    def declaration(self, kind: pa.DataType, *, in_key: bool = False) -> str:  # noqa: ARG002
        """The declared type from which `declared_type` finds `kind` again."""
        if pa.types.is_decimal(kind):
            name = "DECIMAL" if kind.precision <= EXACT_DIGITS else "DECIMAL_TEXT"
            return f"{name}({kind.precision}, {kind.scale})"
        return {
            pa.int64(): "INTEGER",
            pa.float64(): "REAL",
            pa.bool_(): "BOOLEAN",
            pa.string(): "TEXT",
            pa.binary(): "BLOB",
            pa.date32(): "DATE",
            MICROSECONDS: "TIMESTAMP",
            UTC_MICROSECONDS: "TIMESTAMP WITH TIME ZONE",
        }[kind]

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse two columns that differ only by case, which SQLite takes for one."""
        _table, *columns = names
        lowered = [name.lower() for name in columns]
        for name in columns:
            if lowered.count(name.lower()) > 1:
                raise SchemaMismatchError("SQLite tells no case apart: rename one", column=name)

    def staging(self, name: str, table: str, columns: Sequence[str]) -> str:  # noqa: ARG002
        """A table without types: the merge converts the values. A SELECT loses some names."""
        return f"CREATE TEMPORARY TABLE {quoted(name)} ({listed_names(columns)})"

    def row_order(self, staging: str) -> str:  # noqa: ARG002 - of all tables
        """A row's number, which counts up."""
        return "rowid"

    def lacks_key(self, error: BaseException) -> bool:
        """Whether SQLite says so: it has no code for it."""
        return "ON CONFLICT clause does not match" in str(error)

    def differ(self, there: Sequence[str], given: Sequence[str]) -> str:
        """Texts by their bytes, whatever collation the columns have."""
        exact = ", ".join(f"{column} COLLATE BINARY" for column in there)
        return f"({exact}) IS NOT ({', '.join(given)})"

    def insert(
        self,
        connection: sa.Connection,
        table: str,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
    ) -> None:
        """Insert the rows: by machine code where there is some, else by `sqlite3`."""
        into = f"INSERT INTO {quoted(table)} ({listed_names(schema.names)}) VALUES "  # noqa: S608
        writer, handle = row_writer(), connection.info.get(_HANDLE)
        if writer is None or handle is None:
            _insert_by_sqlite3(connection.connection.cursor(), into, schema, batches)
            return
        with closing(Insert(writer, handle, into, len(schema))) as insert:
            for batch in batches:
                insert.rows(list(map(stored_array, batch.columns, schema)))

    def translate(self, error: Exception) -> ConnectorError:
        """By SQLite's result codes (https://sqlite.org/rescode.html)."""
        code = getattr(error, "sqlite_errorname", None) or ""
        if code == "SQLITE_FULL":
            return DiskFullError.at(self.path)
        for prefixes, meaning in _MEANINGS:
            if code.startswith(prefixes):
                return meaning(self.path, error)
        return QueryError(f"SQLite refused, in {self.path}: {error}")


_MEANINGS: tuple[tuple[tuple[str, ...], Callable[[Path, Exception], ConnectorError]], ...] = (
    (
        ("SQLITE_NOTADB", "SQLITE_CORRUPT"),
        lambda path, error: CorruptSourceError(
            f"{path} cannot be read as a SQLite database ({error}): restore it from a copy"
        ),
    ),
    (
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        lambda path, error: SourceUnreachableError(
            f"{path} is in use by another reader or writer ({error}): let it end, or wait longer "
            "with ?timeout=SECONDS in the URL"
        ),
    ),
    (
        ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_IOERR"),
        lambda path, error: SourceUnreachableError(
            f"{path} cannot be used ({error}): check that it is a file you may read and write, on "
            "a disk in order"
        ),
    ),
    (
        ("SQLITE_READONLY", "SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH"),
        lambda path, error: WriteError(f"{path} refused the rows, none was written: {error}"),
    ),
)


def _connect(
    dialect: sa.Dialect,
    record: sa.pool.ConnectionPoolEntry,
    arguments: Sequence[Any],
    options: dict[str, Any],
) -> Any:
    """Opens a connection, and remembers what SQLite knows it by."""
    connection, record.info[_HANDLE] = with_handle(lambda: dialect.connect(*arguments, **options))
    return connection


def _insert_by_sqlite3(
    cursor: Any, into: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> None:
    """Many rows by each statement, which takes less than half as long as one by one."""
    width = len(schema)
    step = width * max(1, min(ROWS_A_STATEMENT, MOST_VALUES // width))
    row = f"({', '.join('?' * width)})"
    rows = ", ".join([row] * (step // width))
    for batch in batches:
        values: list[Any] = [None] * (width * batch.num_rows)  # row by row
        for index, (column, field) in enumerate(zip(batch.columns, schema, strict=True)):
            values[index::width] = stored_values(column, field)
        rest = len(values) - len(values) % step
        cursor.executemany(into + rows, (values[at : at + step] for at in range(0, rest, step)))
        cursor.executemany(
            into + row, (values[at : at + width] for at in range(rest, len(values), width))
        )


def declared_type(declared: str) -> pa.DataType | None:
    """The Arrow type of a column declared so; None where the declaration says nothing."""
    plain = " ".join(declared.upper().split())
    if plain in _DECLARED:
        return _DECLARED[plain]
    decimal = _DECIMAL.fullmatch(plain.replace(" ", ""))
    if decimal is not None:
        kind = arrow_types.decimal_type(int(decimal[1]), int(decimal[2] or 0))
        if kind is not None:
            return kind
    for parts, kind in _AFFINITIES:
        if any(part in plain for part in parts):
            return kind
    return None


def _first_type(connection: sa.Connection, view: str, name: str) -> pa.DataType:
    """For a column that declares nothing, such as an expression: the type of its first value."""
    # With the view's name before it: SQLite takes an unknown name alone for a text.
    column = f"{view}.{quoted(name)}"
    found = execute(
        connection,
        f"SELECT typeof({column}) FROM {view} WHERE {column} IS NOT NULL LIMIT 1",  # noqa: S608
    )
    return _STORAGE_CLASSES[found.scalar()]


def _blocks(cursor: sqlite3.Cursor, size: int) -> Iterator[list[list[Any]]]:
    while rows := cursor.fetchmany(size):
        width = len(rows[0])
        # Not by zip(*rows), whose iterators, one a row, keep the garbage collector busy.
        values = list(chain.from_iterable(rows))
        yield [values[column::width] for column in range(width)]
