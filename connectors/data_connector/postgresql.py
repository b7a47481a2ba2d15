"""PostgreSQL: COPY to read and to write; psycopg 3 for all else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import psycopg.sql
import pyarrow as pa
import sqlalchemy as sa

from data_connector import arrow_types, postgresql_rows
from data_connector.arrow_types import ANY_DECIMAL, MICROSECONDS, UTC_MICROSECONDS, decimal_type
from data_connector.errors import (
    AccessDeniedError,
    ConnectorError,
    DiskFullError,
    QueryError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreachableError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.locations import DatabaseLocation
from data_connector.postgresql_copy import binary, csv, is_written
from data_connector.postgresql_types import NUMERIC, READ
from data_connector.sql import SqlBackend
from data_connector.sql_dialect import Rows, TransactionalDialect, Values, undescribed
from data_connector.statements import execute, listed_names, quoted

# libpq's parameters, each of which the URL can overrule.
_PARAMETERS = {
    "connect_timeout": 10,  # seconds, for a server that does not answer
    # A server that has gone without a word is given up within a minute: libpq would wait for hours.
    "keepalives_idle": 30,  # seconds
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "client_encoding": "utf8",  # Arrow's, whatever the database's
}

# To wait for another transaction, unless the role, the database or the URL's options say how long.
_LOCK_TIMEOUT = "60s"

# Longer names are cut short by the server, without a word (NAMEDATALEN - 1).
_LONGEST_NAME = 63  # bytes

# A refused connection has no SQLSTATE; its message is the server's own.
_NO_DATABASE = re.compile(r'database ".*" does not exist')
_NO_ACCESS = re.compile(r"authentication failed|no password supplied|role \".*\" does not exist")


def open_postgresql(location: DatabaseLocation) -> SqlBackend:
    """The backend for a PostgreSQL database; without a driver in the URL, psycopg 3."""
    driver = location.url.drivername.partition("+")[2]
    if driver not in ("", "psycopg"):
        raise UnsupportedSourceError(
            f"PostgreSQL is read through psycopg 3: write postgresql+psycopg://, not +{driver}"
        )
    location = DatabaseLocation(location.url.set(drivername="postgresql+psycopg"))
    return SqlBackend(PostgresqlDialect(location), (psycopg.Error,))


@dataclass(frozen=True, slots=True)
class PostgresqlDialect(TransactionalDialect):
    """PostgreSQL 14 and later."""

    location: DatabaseLocation

    def engine(self, *, create: bool) -> sa.Engine:  # noqa: ARG002 - databases are made by hand
        """An engine that waits for an absent server only so long."""
        given = self.location.url.query
        options = {name: value for name, value in _PARAMETERS.items() if name not in given}
        return sa.create_engine(self.location.url, poolclass=sa.NullPool, connect_args=options)

    def begin(self, connection: sa.Connection, *, write: bool) -> None:
        """Set up the transaction that the driver begins by itself."""
        for statement in _settings(write=write):
            execute(connection, statement).close()

    @contextmanager
    def rows(
        self,
        connection: sa.Connection,
        statement: str,
        parameters: Sequence[Any],
        batch_rows: int,
    ) -> Iterator[Rows]:
        """A COPY to the client, which streams."""
        assert not parameters  # noqa: S101 - COPY takes none: see `compare`
        select = statement.rstrip().rstrip(";") + "\n"
        columns = _described(connection, f"SELECT * FROM ({select}) AS copied")  # noqa: S608
        with postgresql_rows.copied(_driver_of(connection), select, columns, batch_rows) as rows:
            yield rows

    def compare(
        self,
        connection: sa.Connection,
        column: str,
        kind: pa.DataType,
        comparison: str,
        key: pa.Scalar,
    ) -> tuple[str, list[Any]]:
        """The key as a literal that the driver quotes, and texts by their bytes."""
        literal = psycopg.sql.Literal(key.as_py()).as_string(_driver_of(connection))
        if pa.types.is_string(kind):
            column += ' COLLATE "C"'
        return f"{column} {comparison} {literal}", []

    def describe(self, connection: sa.Connection, statement: str) -> pa.Schema:
        """The schema, as the server describes the result."""
        return pa.schema([_field(column) for column in _described(connection, statement)])

    def to_array(self, values: Values, kind: pa.DataType) -> pa.Array:
        """The driver's array, whose types are the declared ones but for NUMERIC."""
        return postgresql_rows.to_array(values, kind)

    def stored_type(self, kind: pa.DataType) -> pa.DataType | None:
        """Arrow's types, but for integers without a sign and those of 8 bits."""
        return arrow_types.stored_type(kind)

    def declaration(self, kind: pa.DataType, *, in_key: bool = False) -> str:  # noqa: ARG002
        """The SQL type."""
        if pa.types.is_decimal(kind):
            return f"NUMERIC({kind.precision}, {kind.scale})"
        return {
            pa.int16(): "SMALLINT",
            pa.int32(): "INTEGER",
            pa.int64(): "BIGINT",
            pa.float32(): "REAL",
            pa.float64(): "DOUBLE PRECISION",
            pa.bool_(): "BOOLEAN",
            pa.string(): "TEXT",
            pa.binary(): "BYTEA",
            pa.date32(): "DATE",
            MICROSECONDS: "TIMESTAMP",
            UTC_MICROSECONDS: "TIMESTAMP WITH TIME ZONE",
        }[kind]

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse names that the server would cut short, and columns of the same name."""
        _table, *columns = names
        for name in names:
            if not 0 < len(name.encode()) <= _LONGEST_NAME:
                raise SchemaMismatchError(
                    f"a name in PostgreSQL has 1 to {_LONGEST_NAME} bytes: rename it", column=name
                )
            if columns.count(name) > 1:
                raise SchemaMismatchError("the data has it twice: rename one", column=name)

    def staging(self, name: str, table: str, columns: Sequence[str]) -> str:
        """A table with the columns' own types, which need not have a counterpart in Arrow."""
        return (
            f"CREATE TEMPORARY TABLE {quoted(name)} AS "  # noqa: S608
            f"SELECT {listed_names(columns)} FROM {quoted(table)} LIMIT 0"
        )

    def row_order(self, staging: str) -> str:  # noqa: ARG002 - of all tables
        """A row's place in the table, which grows as long as none is deleted."""
        return "ctid"

    def lacks_key(self, error: BaseException) -> bool:
        """Whether it is the error `invalid_column_reference`."""
        return getattr(error, "sqlstate", None) == "42P10"

    def differ(self, there: Sequence[str], given: Sequence[str]) -> str:
        """By their bytes: `json` knows no equality, and `citext` too much of it."""
        # As records, since two rows side by side would be compared column by column.
        one, other = (f"ROW({', '.join(columns)})::record" for columns in (there, given))
        return f"{one} OPERATOR(pg_catalog.*<>) {other}"

    def insert(
        self,
        connection: sa.Connection,
        table: str,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
    ) -> None:
        """Write all rows by one COPY."""
        cursor: Any = connection.connection.cursor()
        names = listed_names(schema.names)
        cursor.execute(f"SELECT {names} FROM {quoted(table)} LIMIT 0")  # noqa: S608
        there = [column.type_code for column in cursor.description]
        in_binary = all(map(is_written, there, schema.types))
        form, pieces = ("binary", binary(batches)) if in_binary else ("csv", csv(batches))
        with cursor.copy(f"COPY {quoted(table)} ({names}) FROM STDIN (FORMAT {form})") as copy:
            for piece in pieces:
                copy.write(piece)

    def translate(self, error: Exception) -> ConnectorError:
        """By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
        state = getattr(error, "sqlstate", None) or ""
        diagnosis = getattr(error, "diag", None)
        primary = diagnosis.message_primary if diagnosis is not None else None
        message = " ".join((primary or str(error)).split())
        context = (diagnosis.context if diagnosis is not None else None) or ""
        where = f" ({context.splitlines()[0]})" if context else ""
        if state == "53100":
            return DiskFullError(
                f"the disk of {self.location} is full: {message}; nothing was written"
            )
        if state in ("3D000", "3F000") or (not state and _NO_DATABASE.search(message)):
            return SourceNotFoundError(f"no such database: {self.location}: {message}")
        if state == "57014":
            return QueryError(
                f"{self.location} gave up: {message}; ask for less, or raise a timeout with "
                "?options=-c%20statement_timeout%3D60s in the URL"
            )
        if state == "55P03" or state[:2] == "40":
            return SourceUnreachableError(
                f"{self.location} is in use by another transaction: {message}; let it end, or wait "
                "longer with ?options=-c%20lock_timeout%3D10min in the URL"
            )
        if state[:2] == "28" or (not state and _NO_ACCESS.search(message)):
            return AccessDeniedError(
                f"cannot use {self.location}: {message}; check user and password"
            )
        if isinstance(error, psycopg.OperationalError) and state[:2] in ("", "08", "53", "57"):
            return SourceUnreachableError(
                f"cannot use {self.location}: {message}; check host, port, and that the server runs"
            )
        # A constraint, two rows of what the server takes for the same key, or a value in a COPY.
        refused = state[:2] == "23" or state == "21000"
        if refused or (state[:2] == "22" and context.startswith("COPY")):
            return WriteError(
                f"{self.location} refused the rows, none was written: {message}{where}"
            )
        return QueryError(f"{self.location} refused: {message}{where}")


def _settings(*, write: bool) -> list[str]:
    """What a transaction begins with."""
    return [
        *([] if write else ["SET TRANSACTION READ ONLY"]),
        f"SELECT set_config('lock_timeout', '{_LOCK_TIMEOUT}', true) "
        "WHERE current_setting('lock_timeout') = '0'",
        # Else every time would come with the server's zone, and cost a look-up.
        "SET LOCAL TIME ZONE 'UTC'",
    ]


def _described(connection: sa.Connection, select: str) -> list[Any]:
    """The columns of a SELECT's result, as the driver tells them: `psycopg.Column`."""
    result = execute(connection, f"{select} LIMIT 0")
    description = result.cursor.description if result.cursor is not None else None
    result.close()
    return list(description or ())


def _field(column: Any) -> pa.Field:
    if column.type_code == NUMERIC:
        if column.precision is None:
            return pa.field(column.name, ANY_DECIMAL)
        kind = decimal_type(column.precision, column.scale or 0)
    else:
        kind = READ.get(column.type_code)
    if kind is None:
        return undescribed(column.name, column.type_display)
    return pa.field(column.name, kind)


def _driver_of(connection: sa.Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - narrows Any
    return driver
