"""MySQL and MariaDB, through PyMySQL: rows stream from the server as text, and Arrow parses them.

Sessions have ANSI_QUOTES: names stand in "double quotes" or backticks, texts in 'single' ones.
"""

from __future__ import annotations

import re
import socket
import string
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pymysql
import sqlalchemy as sa
from pymysql.cursors import SSCursor

from data_connector import mysql_errors, mysql_load, mysql_types
from data_connector.arrow_types import UTC_MICROSECONDS
from data_connector.errors import ConnectorError, SchemaMismatchError, UnsupportedSourceError
from data_connector.locations import DatabaseLocation
from data_connector.sql import SqlBackend
from data_connector.sql_dialect import Rows, Values
from data_connector.statements import execute, listed_names, quoted
from data_connector.upsert import Upsert

# What a URL may say, in SQLAlchemy's words; PyMySQL takes more, some of which would undo ours.
_TIMEOUTS = ("connect_timeout", "read_timeout", "write_timeout")  # seconds
_OPTIONS = {
    *("unix_socket", "bind_address", "program_name", "init_command", "charset", *_TIMEOUTS),
    *("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher", "ssl_check_hostname"),
}
_CONNECT_TIMEOUT = 10  # seconds, for a server that does not answer

# A server that has gone without a word is given up within a minute.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # seconds, seconds, times

_LONGEST_NAME = 64  # characters

# Rows held as Python's objects at a time: few enough to lie in the processor's cache.
_BLOCK_ROWS = 2_048

_SETTINGS = (
    "SET SESSION time_zone = '+00:00'",
    # To wait for another's DDL: by default a day or a year. Unless the URL's init_command says so.
    "SET SESSION lock_wait_timeout = IF(@@session.lock_wait_timeout = @@global.lock_wait_timeout,"
    " LEAST(@@global.lock_wait_timeout, 60), @@session.lock_wait_timeout)",  # seconds
)
_SETTINGS_TO_READ = (
    "SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
    # A consumer may take its time: by default the server would hang up after a minute.
    "SET SESSION net_write_timeout = 86400",  # seconds
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_SETTINGS_TO_WRITE = (
    "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,"
    "NO_ENGINE_SUBSTITUTION'",
    "START TRANSACTION",
)


def open_mysql(location: DatabaseLocation) -> SqlBackend:
    """The backend for a database of MySQL or MariaDB; without a driver in the URL, PyMySQL."""
    url = location.url
    scheme, _, driver = url.drivername.partition("+")
    if driver not in ("", "pymysql"):
        raise UnsupportedSourceError(
            f"{scheme} is read through PyMySQL: write {scheme}+pymysql://, not +{driver}"
        )
    if not url.database:
        raise UnsupportedSourceError(f"name the database: {scheme}://user:password@host:3306/name")
    unknown = sorted(set(url.query) - _OPTIONS)
    if unknown:
        raise UnsupportedSourceError(
            f"{scheme} URLs have no option {', '.join(unknown)}; they have "
            f"{', '.join(sorted(_OPTIONS))}"
        )
    for name in _TIMEOUTS:
        if not re.fullmatch("[1-9][0-9]*", str(url.query.get(name, 1))):
            raise UnsupportedSourceError(f"{name} must be a number of seconds, above 0")
    location = DatabaseLocation(url.set(drivername="mysql+pymysql"))
    return SqlBackend(MysqlDialect(location), (pymysql.Error,))


@dataclass(frozen=True, slots=True)
class MysqlDialect:
    """MySQL 8.0 and MariaDB 10.6, and later."""

    location: DatabaseLocation

    def engine(self, *, create: bool) -> sa.Engine:  # noqa: ARG002 - databases are made by hand
        """An engine that waits for an absent server only so long."""
        engine = sa.create_engine(self.location.url, poolclass=sa.NullPool)

        @sa.event.listens_for(engine, "do_connect")
        def connect(
            _dialect: object, _record: object, _arguments: object, options: dict[str, Any]
        ) -> pymysql.Connection[Any]:
            return _connected(options)

        return engine

    def begin(self, connection: sa.Connection, *, write: bool) -> None:
        """Start the transaction; a reader's sees the database as it is now until its end."""
        for statement in (*_SETTINGS, *(_SETTINGS_TO_WRITE if write else _SETTINGS_TO_READ)):
            execute(connection, statement).close()

    @contextmanager
    def rows(
        self,
        connection: sa.Connection,
        statement: str,
        parameters: Sequence[Any],
        batch_rows: int,
    ) -> Iterator[Rows]:
        """The rows as text, which the server sends as they are read."""
        assert not parameters  # noqa: S101 - `compare` makes none
        driver: Any = connection.connection.driver_connection
        driver.decoders = {}  # Arrow parses the text, faster and exactly
        cursor = SSCursor(driver)
        try:
            cursor.execute(statement)
            fields = mysql_types.fields(cursor)
            for field in fields:
                if field.type == pa.float32():
                    raise SchemaMismatchError(
                        "the server would send a FLOAT rounded to six digits: write "
                        "CAST(... AS DOUBLE) in the query",
                        column=field.name,
                    )
            names = [field.name for field in fields]
            yield Rows(names, _blocks(cursor, min(batch_rows, _BLOCK_ROWS)))
        finally:
            # PyMySQL would first read all the rows that nobody wants.
            if driver._result is not None:
                driver._result.unbuffered_active = False
            connection.invalidate()

    def compare(
        self,
        connection: sa.Connection,  # noqa: ARG002 - no driver is asked how to quote
        column: str,
        kind: pa.DataType,
        comparison: str,
        key: pa.Scalar,
    ) -> tuple[str, list[Any]]:
        """The key as a literal, and texts by their bytes in UTF-8."""
        value = key.as_py()
        if pa.types.is_string(kind):
            # In hexadecimal, which reads the same in every sql_mode.
            text = f"CAST(CONVERT({column} USING utf8mb4) AS BINARY)"
            return f"{text} {comparison} X'{value.encode().hex()}'", []
        if pa.types.is_timestamp(kind):
            literal = f"TIMESTAMP'{value.replace(tzinfo=None).isoformat(' ', 'microseconds')}'"
        elif pa.types.is_date(kind):
            literal = f"DATE'{value.isoformat()}'"
        else:
            literal = f"{value:f}" if pa.types.is_decimal(kind) else str(value)
        return f"{column} {comparison} {literal}", []

    def describe(self, connection: sa.Connection, statement: str) -> pa.Schema:
        """The schema, as the server describes the result."""
        result = execute(connection, f"{statement} LIMIT 0")
        schema = pa.schema(mysql_types.fields(result.cursor))
        result.close()
        return schema

    def to_array(self, values: Values, kind: pa.DataType) -> pa.Array:
        """The server's texts as an array of `kind`, exactly."""
        return mysql_types.to_array(values, kind)

    def stored_type(self, kind: pa.DataType) -> pa.DataType | None:
        """Arrow's types; integers without a sign and those of 8 bits too."""
        return mysql_types.stored_type(kind)

    def selected(self, column: str, kind: pa.DataType) -> str:
        """A FLOAT as the DOUBLE of the same value, since it would come rounded to six digits."""
        if kind != pa.float32():
            return column
        return f"{column} + 0e0 AS {column.partition('.')[2]}"

    def declaration(self, kind: pa.DataType, *, in_key: bool) -> str:
        """The SQL type; in a key, one that has an index as a whole."""
        if pa.types.is_decimal(kind):
            return f"DECIMAL({kind.precision}, {kind.scale})"
        if in_key and kind in (pa.string(), pa.binary()):
            return "VARCHAR(255)" if kind == pa.string() else "VARBINARY(255)"
        if kind == UTC_MICROSECONDS:
            # Else older servers would make of the first one what they set to now by themselves.
            return f"TIMESTAMP(6) {'NOT NULL DEFAULT 0' if in_key else 'NULL'}"
        return mysql_types.DECLARATIONS[kind]

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse names that the server does not take, and columns it would take for one."""
        _table, *columns = names
        lowered = [name.lower() for name in columns]
        for name in names:
            fits = 0 < len(name) <= _LONGEST_NAME and max(name) <= "\uffff"
            if not fits or name[-1] in string.whitespace:
                raise SchemaMismatchError(
                    f"a name in MySQL has 1 to {_LONGEST_NAME} characters up to U+FFFF, the last "
                    "of which is no blank: rename it",
                    column=name,
                )
        for name in columns:
            if lowered.count(name.lower()) > 1:
                raise SchemaMismatchError("MySQL tells no case apart: rename one", column=name)

    def created(
        self, connection: sa.Connection, table: str, definition: str, *, exists: bool
    ) -> AbstractContextManager[str]:
        """A table aside, renamed at the end: CREATE and DROP would end a transaction."""
        return mysql_load.created(connection, table, definition, exists=exists)

    def check_target(self, connection: sa.Connection, table: str) -> None:
        """Refuse views, and tables of an engine without transactions, such as MyISAM."""
        mysql_load.check_engine(connection, table)

    def staging(self, name: str, table: str, columns: Sequence[str]) -> str:
        """A table with the columns' own types, which counts its rows."""
        return (
            f"CREATE TEMPORARY TABLE {name} ({self.row_order(name)} BIGINT AUTO_INCREMENT "  # noqa: S608
            f"PRIMARY KEY) ENGINE=InnoDB AS SELECT {listed_names(columns)} FROM {quoted(table)} "
            "LIMIT 0"
        )

    def row_order(self, staging: str) -> str:
        """A column called as the table, which no column of the data is."""
        return staging

    def check_key(self, connection: sa.Connection, upsert: Upsert) -> None:
        """Look at the table's indexes: ON DUPLICATE KEY UPDATE goes by any of them."""
        mysql_load.check_key(connection, upsert)

    def merge(self, connection: sa.Connection, upsert: Upsert) -> None:
        """By ON DUPLICATE KEY UPDATE."""
        mysql_load.merge(connection, upsert)

    def insert(
        self,
        connection: sa.Connection,
        table: str,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
    ) -> None:
        """Insert many rows by each statement, whose text Arrow writes."""
        cursor: Any = connection.connection.cursor()
        cursor.execute("SELECT @@max_allowed_packet")
        ((most,),) = cursor.fetchall()
        into = f"INSERT INTO {quoted(table)} ({listed_names(schema.names)}) VALUES "  # noqa: S608
        for batch in batches:
            for statement in mysql_load.inserts(into.encode(), batch, most):
                cursor.execute(statement)

    def translate(self, error: Exception) -> ConnectorError:
        """By the server's error code."""
        return mysql_errors.translated(error, self.location)


def _connected(options: dict[str, Any]) -> pymysql.Connection[Any]:
    """A connection that says so if the server does not answer, and when it is gone."""
    options = {"connect_timeout": _CONNECT_TIMEOUT, **options, "charset": "utf8mb4"}
    if options.get("unix_socket") and "ssl" not in options:
        options["ssl_disabled"] = True  # nobody can listen, and PyMySQL would try it
    options["password"] = (options.get("password") or "").encode()  # PyMySQL's own is Latin-1
    read_timeout = options.get("read_timeout")
    # PyMySQL's timeout to connect ends before the server has said its first word.
    options["read_timeout"] = read_timeout or options["connect_timeout"]
    try:
        connection = pymysql.connect(**options)
    except (OSError, ValueError, RuntimeError) as error:  # of TLS, such as a missing file
        raise pymysql.OperationalError(2026, str(error)) from None
    driver: Any = connection
    driver._read_timeout = read_timeout
    if not options.get("unix_socket"):
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                driver._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def _blocks(cursor: SSCursor, size: int) -> Iterator[list[list[Any]]]:
    while rows := cursor.fetchmany(size):
        width = len(rows[0])
        # Not by zip(*rows), whose iterators, one a row, keep the garbage collector busy.
        values = list(chain.from_iterable(rows))
        yield [values[column::width] for column in range(width)]
