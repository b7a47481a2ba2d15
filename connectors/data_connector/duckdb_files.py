"""DuckDB database files: batches stream out and in by DuckDB's own Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from data_connector import arrow_types
from data_connector.arrow_types import append_schema, cast_batch
from data_connector.backends import Capabilities, IfExists, Order, Request, choose_table
from data_connector.errors import (
    ColumnNotFoundError,
    ConnectorError,
    CorruptSourceError,
    DiskFullError,
    QueryError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreachableError,
    TargetExistsError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.locations import DatabaseLocation
from data_connector.observe import Watched
from data_connector.ranges import KeyRange, check_ranges, in_ranges, with_keys
from data_connector.sql import check_distinct
from data_connector.statements import quoted
from data_connector.streams import OwningReader, regrouped

# Digits of the widest decimal (https://duckdb.org/docs/sql/data_types/numeric).
_MOST_DIGITS = 38

# What DuckDB may hold of a file in memory, which by itself is most of the machine's;
# `?memory_limit=` in the URL overrules it.
_MEMORY = "1GB"

# The name under which DuckDB sees a batch that is loaded; it shadows no table of the user's.
_INCOMING = "data_connector.incoming"


def open_duckdb(location: DatabaseLocation) -> DuckdbBackend:
    """The backend for a DuckDB file."""
    if not location.url.database or location.url.database == ":memory:":
        raise UnsupportedSourceError(
            "DuckDB needs a file: write duckdb:///relative or duckdb:////absolute"
        )
    return DuckdbBackend(Path(location.url.database), dict(location.url.query))


@dataclass(frozen=True, slots=True)
class DuckdbBackend:
    """A DuckDB file as source and target."""

    path: Path
    options: Mapping[str, Any]
    """DuckDB's own settings, from the URL."""

    @property
    def capabilities(self) -> Capabilities:
        """All that a database can do, but for updates by key."""
        return Capabilities(
            many_tables=True, queries=True, keeps_types=True, keeps_bytes=True, upserts=False
        )

    def tables(self) -> list[str]:
        """The tables and views of the default schema."""
        with self._translated(), self._connected(write=False) as connection:
            return _tables(connection)

    def fetch(self, request: Request) -> OwningReader:
        """A reader over a result that DuckDB computes as it is read."""
        ranges = [it for it in request.ranges if not it.is_everything]
        with ExitStack() as resources, self._translated():
            connection = resources.enter_context(self._connected(write=False))
            relation = _relation(connection, request)
            described = connection.sql(f"SELECT * FROM {relation} LIMIT 0").to_arrow_reader().schema  # noqa: S608
            if request.query is not None:  # the names as they are, before any is made unique
                check_distinct(connection.sql(request.query).columns)
            names = _columns(described, request)
            check_ranges(ranges, described)
            read = with_keys(names, ranges)
            if request.query is not None and not ranges:
                statement = request.query
                parameters: list[Any] = []
            else:
                where, parameters = _where(ranges, described)
                listed = ", ".join(f"fetched.{quoted(name)}" for name in read)
                statement = f"SELECT {listed} FROM {relation}{where}"  # noqa: S608
            result = connection.sql(statement, params=parameters)
            reader = resources.enter_context(result.to_arrow_reader(request.batch_rows))
            release = resources.pop_all().close
        batches = (batch.select(read) for batch in self._read(reader))
        kept = regrouped(in_ranges(batches, ranges, names), request.batch_rows)
        schema = pa.schema([described.field(name) for name in names])
        return OwningReader(schema, kept if ranges else batches, release)

    def load(self, data: Watched, order: Order) -> int:
        """Write all rows in one transaction with the table's creation."""
        table = order.table
        assert table is not None  # noqa: S101 - `load` sees to it
        stored = _stored_schema(data.schema)
        with self._translated(), self._connected(write=True) as connection:
            connection.begin()
            stored = self._prepare(connection, table, stored, order.if_exists)
            listed = ", ".join(quoted(name) for name in stored.names)
            for batch in data:
                connection.register(_INCOMING, pa.table(cast_batch(batch, stored)))
                connection.execute(
                    f"INSERT INTO {quoted(table)} ({listed}) "  # noqa: S608
                    f"SELECT {listed} FROM {quoted(_INCOMING)}"
                )
            connection.commit()
        return data.rows

    @contextmanager
    def _connected(self, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        if not write and not self.path.exists():
            raise SourceNotFoundError(f"no DuckDB database at {self.path}: check the path")
        if not self.path.absolute().parent.is_dir():
            raise SourceNotFoundError(f"no folder {self.path.parent}: create it first")
        config = {"memory_limit": _MEMORY, **self.options}
        with closing(duckdb.connect(self.path, read_only=not write, config=config)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> ConnectorError:
        message = str(error).splitlines()[0].partition("Error: ")[2] or str(error)
        if "No space left" in message or "disk is full" in message:
            return DiskFullError.at(self.path)
        if "lock on file" in message or "different configuration" in message:
            return SourceUnreachableError(
                f"{self.path} is in use by another writer or reader ({message}): let it end"
            )
        if "not a valid DuckDB database" in message or "orrupt" in message:
            return CorruptSourceError(
                f"{self.path} cannot be read as a DuckDB database ({message}): "
                "restore it from a copy"
            )
        if isinstance(error, duckdb.ConstraintException | duckdb.ConversionException):
            return WriteError(f"{self.path} refused the rows, none was written: {message}")
        if isinstance(error, duckdb.IOException):
            return SourceUnreachableError(
                f"{self.path} cannot be used ({message}): check that it is a file you may read "
                "and write, on a disk in order"
            )
        return QueryError(f"DuckDB refused, in {self.path}: {message}")

    def _read(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except (pa.ArrowException, OSError) as error:
            # Arrow's streams carry a message and no more.
            message = str(error).splitlines()[0]
            raise QueryError(f"DuckDB gave up, in {self.path}: {message}") from error

    def _prepare(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        stored: pa.Schema,
        if_exists: IfExists,
    ) -> pa.Schema:
        """The types to write, with the table there to take them."""
        exists = table in _tables(connection)
        if exists and if_exists == "fail":
            raise TargetExistsError(
                f"table {table!r} exists in {self.path}: give if_exists='append' or 'replace'"
            )
        if exists and if_exists == "append":
            target = connection.sql(f"SELECT * FROM {quoted(table)} LIMIT 0")  # noqa: S608
            return append_schema(stored, target.to_arrow_reader().schema)
        connection.register(_INCOMING, stored.empty_table())
        connection.execute(
            f"CREATE OR REPLACE TABLE {quoted(table)} AS "  # noqa: S608
            f"SELECT * FROM {quoted(_INCOMING)}"
        )
        return stored


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() "
        "AND table_catalog = current_database() ORDER BY table_name"
    ).fetchall()
    return [name for (name,) in found]


def _relation(connection: duckdb.DuckDBPyConnection, request: Request) -> str:
    """What to read, as it stands after FROM."""
    if request.query is None:
        return f"{quoted(choose_table(_tables(connection), request.table))} AS fetched"
    statements = connection.extract_statements(request.query)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise QueryError("query= must be one SELECT")
    return f"({request.query.rstrip().rstrip(';')}\n) AS fetched"


def _columns(described: pa.Schema, request: Request) -> list[str]:
    """The columns to read."""
    for name in request.columns or ():
        if name not in described.names:
            raise ColumnNotFoundError(f"no column {name!r}", available=described.names)
    return list(request.columns or described.names)


def _where(ranges: Sequence[KeyRange], schema: pa.Schema) -> tuple[str, list[Any]]:
    """A condition that holds for all rows of the ranges, and its parameters."""
    conditions = []
    parameters = []
    for it in ranges:
        column = f"fetched.{quoted(it.column)}"
        bounds = zip((">=", "<="), it.bounds(schema.field(it.column).type), strict=True)
        keys = [(comparison, key.as_py()) for comparison, key in bounds if key is not None]
        parameters += [key for _, key in keys]
        parts = [f"{column} {comparison} ?" for comparison, _ in keys]
        condition = " AND ".join(parts) or f"{column} IS NOT NULL"
        conditions.append(f"({condition} OR {column} IS NULL)" if it.nulls else condition)
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), parameters


def _stored_schema(schema: pa.Schema) -> pa.Schema:
    if not schema.names:
        raise SchemaMismatchError("a table needs at least one column", column="")
    lowered = [name.lower() for name in schema.names]
    fields = []
    for field in schema:
        if lowered.count(field.name.lower()) > 1:
            raise SchemaMismatchError("DuckDB tells no case apart: rename one", column=field.name)
        kind = _stored_type(field.type)
        if kind is None:
            raise SchemaMismatchError(
                f"a DuckDB file of ours stores no {field.type}: cast it first", column=field.name
            )
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _stored_type(kind: pa.DataType) -> pa.DataType | None:
    """The type that a column of `kind` comes back as; None: cannot be stored."""
    if pa.types.is_integer(kind):
        return kind
    if pa.types.is_decimal(kind) and kind.precision > _MOST_DIGITS:
        return None
    return arrow_types.stored_type(kind)
