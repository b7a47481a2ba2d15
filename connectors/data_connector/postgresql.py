"""PostgreSQL: COPY to read and to write; psycopg 3 for all else."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import psycopg.conninfo
import psycopg.sql
import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa

from data_connector import arrow_types, postgresql_rows
from data_connector.arrow_types import ANY_DECIMAL, MICROSECONDS, UTC_MICROSECONDS, decimal_type
from data_connector.errors import (
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
from data_connector.sql import Rows, SqlBackend, Values, execute, quoted, undescribed

# Seconds to wait for a server that does not answer; `?connect_timeout=` in the URL overrules it.
_CONNECT_TIMEOUT = 10

# Longer names are cut short by the server, without a word (NAMEDATALEN - 1).
_LONGEST_NAME = 63  # bytes

# A refused connection has no SQLSTATE; its message is the server's own.
_NO_DATABASE = re.compile(r'database ".*" does not exist')

# By the types' object identifiers, which are fixed (src/include/catalog/pg_type.dat).
_NUMERIC = 1700
_TYPES = {
    16: pa.bool_(),
    17: pa.binary(),
    19: pa.string(),  # name
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    25: pa.string(),  # text
    26: pa.int64(),  # oid
    700: pa.float32(),
    701: pa.float64(),
    1042: pa.string(),  # char(n)
    1043: pa.string(),  # varchar
    1082: pa.date32(),
    1114: MICROSECONDS,
    1184: UTC_MICROSECONDS,
}


def open_postgresql(location: DatabaseLocation) -> SqlBackend:
    """The backend for a PostgreSQL database; without a driver in the URL, psycopg 3."""
    driver = location.url.drivername.partition("+")[2]
    if driver not in ("", "psycopg"):
        raise UnsupportedSourceError(
            f"PostgreSQL is read through psycopg 3: write postgresql+psycopg://, not +{driver}"
        )
    location = DatabaseLocation(location.url.set(drivername="postgresql+psycopg"))
    return SqlBackend(
        PostgresqlDialect(location),
        (psycopg.Error, postgresql_rows.DriverError, postgresql_rows.CopyError),
    )


@dataclass(frozen=True, slots=True)
class PostgresqlDialect:
    """PostgreSQL 14 and later."""

    location: DatabaseLocation

    def engine(self, *, create: bool) -> sa.Engine:  # noqa: ARG002 - databases are made by hand
        """An engine that waits for an absent server only so long."""
        options = (
            {}
            if "connect_timeout" in self.location.url.query
            else {"connect_timeout": _CONNECT_TIMEOUT}
        )
        return sa.create_engine(self.location.url, poolclass=sa.NullPool, connect_args=options)

    def begin(self, connection: sa.Connection, *, write: bool) -> None:
        """Set up the transaction that the driver begins by itself."""
        if not write:
            execute(connection, "SET TRANSACTION READ ONLY")
        # Else every time would come with the server's zone, and cost a look-up.
        execute(connection, "SET LOCAL TIME ZONE 'UTC'")

    @contextmanager
    def rows(
        self,
        connection: sa.Connection,
        statement: str,
        parameters: Sequence[Any],
        batch_rows: int,  # noqa: ARG002 - the driver counts bytes
    ) -> Iterator[Rows]:
        """A COPY to the client, which streams, on a connection to the same server."""
        assert not parameters  # noqa: S101 - COPY takes none: see `compare`
        info = _driver_of(connection).info
        conninfo = psycopg.conninfo.make_conninfo(
            info.dsn, password=info.password, client_encoding="UTF8"
        )
        with postgresql_rows.copied(conninfo, statement.rstrip().rstrip(";") + "\n") as rows:
            # It held the table as it was described; the COPY does so now.
            connection.close()
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
        result = execute(connection, f"{statement} LIMIT 0")
        description = result.cursor.description if result.cursor is not None else None
        fields = [_field(column) for column in description or ()]
        result.close()
        return pa.schema(fields)

    def to_array(self, values: Values, kind: pa.DataType) -> pa.Array:
        """The driver's array, whose types are the declared ones but for NUMERIC."""
        return postgresql_rows.to_array(values, kind)

    def stored_type(self, kind: pa.DataType) -> pa.DataType | None:
        """Arrow's types, but for integers without a sign and those of 8 bits."""
        return arrow_types.stored_type(kind)

    def declaration(self, kind: pa.DataType) -> str:
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

    def insert(self, connection: sa.Connection, table: str, batch: pa.RecordBatch) -> None:
        """Copy the rows in, as CSV that Arrow writes."""
        columns = [
            _copied(array, field) for array, field in zip(batch.columns, batch.schema, strict=True)
        ]
        text = io.BytesIO()
        # Text is quoted, NULL is not: so COPY tells an empty text from NULL.
        pyarrow.csv.write_csv(
            pa.RecordBatch.from_arrays(columns, names=batch.schema.names),
            text,
            pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"),
        )
        names = ", ".join(quoted(name) for name in batch.schema.names)
        statement = f"COPY {quoted(table)} ({names}) FROM STDIN (FORMAT csv)"
        cursor = connection.connection.cursor()
        with cursor.copy(statement) as copy:
            copy.write(text.getbuffer())

    def translate(self, error: Exception) -> ConnectorError:
        """By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
        state = getattr(error, "sqlstate", None) or ""
        diagnosis = getattr(error, "diag", None)
        primary = diagnosis.message_primary if diagnosis is not None else None
        message = " ".join((primary or postgresql_rows.message_of(error)).split())
        context = (diagnosis.context if diagnosis is not None else None) or ""
        where = f" ({context.splitlines()[0]})" if context else ""
        if state == "53100":
            return DiskFullError(
                f"the disk of {self.location} is full: {message}; nothing was written"
            )
        if state in ("3D000", "3F000") or (not state and _NO_DATABASE.search(message)):
            return SourceNotFoundError(f"no such database: {self.location}: {message}")
        may_be_absent = not isinstance(error, psycopg.Error) or isinstance(
            error, psycopg.OperationalError
        )
        if may_be_absent and state[:2] in ("", "08", "28", "53", "57"):
            return SourceUnreachableError(
                f"cannot use {self.location}: {message}; check host, port, user and password"
            )
        if state[:2] == "23" or (state[:2] == "22" and context.startswith("COPY")):
            return WriteError(
                f"{self.location} refused the rows, none was written: {message}{where}"
            )
        return QueryError(f"{self.location} refused: {message}{where}")


def _field(column: Any) -> pa.Field:
    if column.type_code == _NUMERIC:
        if column.precision is None:
            return pa.field(column.name, ANY_DECIMAL)
        kind = decimal_type(column.precision, column.scale or 0)
    else:
        kind = _TYPES.get(column.type_code)
    if kind is None:
        return undescribed(column.name, column.type_display)
    return pa.field(column.name, kind)


def _driver_of(connection: sa.Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - narrows Any
    return driver


def _copied(array: pa.Array, field: pa.Field) -> pa.Array:
    """The column as the text that COPY reads."""
    if pa.types.is_decimal(field.type):
        return array.cast(pa.string())
    if pa.types.is_binary(field.type):
        return pa.array(
            [None if v is None else f"\\x{v.hex()}" for v in array.to_pylist()], pa.string()
        )
    if field.type == UTC_MICROSECONDS:
        # The session's zone is UTC, and a cast with a zone takes ten times as long.
        return array.cast(MICROSECONDS)
    return array
