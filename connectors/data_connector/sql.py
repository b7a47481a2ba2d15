"""Tables of a SQL database: what all databases share. A database of its own is a `Dialect`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from data_connector.arrow_types import append_schema, cast_batch, check_years
from data_connector.backends import Capabilities, Order, Request, choose_table
from data_connector.errors import (
    ColumnNotFoundError,
    CommitUnknownError,
    ConnectorError,
    SchemaMismatchError,
    TargetExistsError,
)
from data_connector.observe import Watched
from data_connector.ranges import KeyRange, check_ranges, in_ranges, with_keys
from data_connector.sql_dialect import MISFITS, Dialect, Values, misfit
from data_connector.statements import check_characters, execute, listed_names, quoted
from data_connector.streams import OwningReader, regrouped
from data_connector.upsert import Upsert, check_key, check_no_null

# How the names of tables begin that are being filled, and not yet there for anybody.
ASIDE = "data_connector_aside_"

# Rows that are turned into the driver's form at once, however long the batches are.
_ROWS_AT_A_TIME = 65_536


@dataclass(frozen=True, slots=True)
class SqlBackend:
    """A database as source and target."""

    dialect: Dialect
    driver_errors: tuple[type[Exception], ...]

    @property
    def capabilities(self) -> Capabilities:
        """What all databases can do."""
        return Capabilities(
            many_tables=True, queries=True, keeps_types=True, keeps_bytes=True, upserts=True
        )

    def tables(self) -> list[str]:
        """The tables and views of the default schema."""
        with self._translated(), self._connected(create=False) as connection:
            return table_names(connection)

    def fetch(self, request: Request) -> OwningReader:
        """A reader over rows that the server holds, and that holds the connection."""
        ranges = [it for it in request.ranges if not it.is_everything]
        with ExitStack() as resources, self._translated():
            connection = resources.enter_context(self._connected(create=False))
            self.dialect.begin(connection, write=False)
            relation = self._relation(connection, request)
            described = self.dialect.describe(connection, f"SELECT * FROM {relation}")  # noqa: S608
            check_distinct(described.names)
            wanted = _readable(described, request.columns)
            check_ranges(ranges, described)
            names = [described.field(index).name for index in wanted]
            schema = pa.schema([described.field(name) for name in with_keys(names, ranges)])
            if request.query is not None and not ranges:
                # As it stands, and projected here: a query around it need not keep its order.
                statement, columns = request.query, wanted
                parameters: list[Any] = []
            else:
                where, parameters = self._where(connection, ranges, schema)
                listed = ", ".join(
                    self.dialect.selected(f"fetched.{quoted(field.name)}", field.type)
                    for field in schema
                )
                statement = f"SELECT {listed} FROM {relation}{where}"  # noqa: S608
                columns = list(range(len(schema)))
            rows = resources.enter_context(
                self.dialect.rows(connection, statement, parameters, request.batch_rows)
            )
            check_distinct(rows.names)
            release = resources.pop_all().close
        batches = self._batches(rows.blocks, columns, schema)
        if ranges:
            batches = in_ranges(batches, ranges, names)
        return OwningReader(
            pa.schema([schema.field(name) for name in names]),
            regrouped(batches, request.batch_rows),
            release,
        )

    def load(self, data: Watched, order: Order) -> int:
        """Write all rows, and make the table if need be: all at once or not at all."""
        table = order.table
        assert table is not None  # noqa: S101 - `load` sees to it
        check_characters([table, *data.schema.names])
        self.dialect.check_names([table, *data.schema.names])
        stored = self._stored_schema(data.schema)
        check_key(order.key, stored.names)
        with self._translated(), self._connected(create=True) as connection, ExitStack() as made:
            self.dialect.begin(connection, write=True)
            filled, stored = self._prepare(connection, table, stored, order, made)
            batches = _storable(data, stored, order.key)
            if order.key:
                upsert = Upsert.of(filled, stored.names, order.key)
                execute(connection, self.dialect.staging(upsert.staging, filled, stored.names))
                # It says now, and not after the rows, if there can be no merging.
                self.dialect.check_key(connection, upsert)
                self.dialect.insert(connection, upsert.staging, stored, batches)
                upsert.check_distinct(connection, self.dialect.row_order(upsert.staging))
                self.dialect.merge(connection, upsert)
            else:
                self.dialect.insert(connection, filled, stored, batches)
            self._publish(connection, made)
        return data.rows

    def _publish(self, connection: sa.Connection, made: ExitStack) -> None:
        try:
            connection.commit()
            made.close()
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise CommitUnknownError(
                f"{self.dialect.location} was lost before it answered the commit: it has all of "
                "the rows or none of them; look before you load them again, or use "
                "if_exists='upsert'"
            ) from None

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        """A connection in a transaction, committed unless the block fails; errors are ours."""
        with self._translated(), self._connected(create=write) as connection:
            self.dialect.begin(connection, write=write)
            yield connection
            connection.commit()

    @contextmanager
    def _connected(self, *, create: bool) -> Iterator[sa.Connection]:
        connection = self.dialect.engine(create=create).connect()
        try:
            yield connection
        finally:
            # What was to be kept is committed by now; a connection that is lost already would
            # only hide the error that tells why.
            with suppress(sa.exc.DBAPIError):
                connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        errors: tuple[type[Exception], ...] = (sa.exc.DBAPIError, *self.driver_errors)
        try:
            yield
        except errors as error:
            raise self._translate(error) from None

    def _translate(self, error: Exception) -> ConnectorError:
        # Not chained: a driver's message may repeat the URL's secrets.
        original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        assert isinstance(original, Exception)  # noqa: S101 - narrows BaseException
        translated = self.dialect.translate(original)
        translated.args = (self.dialect.location.redact(str(translated)),)
        return translated

    def _relation(self, connection: sa.Connection, request: Request) -> str:
        """What to read, as it stands after FROM."""
        if request.query is not None:
            return f"({request.query.rstrip().rstrip(';')}\n) AS fetched"
        return f"{quoted(choose_table(table_names(connection), request.table))} AS fetched"

    def _where(
        self, connection: sa.Connection, ranges: Sequence[KeyRange], schema: pa.Schema
    ) -> tuple[str, list[Any]]:
        """A condition that holds for all rows of the ranges, and its parameters."""
        conditions = []
        parameters: list[Any] = []
        for it in ranges:
            column = f"fetched.{quoted(it.column)}"
            kind = schema.field(it.column).type
            parts = []
            for comparison, key in zip((">=", "<="), it.bounds(kind), strict=True):
                if key is not None:
                    part, bound = self.dialect.compare(connection, column, kind, comparison, key)
                    parts.append(part)
                    parameters += bound
            condition = " AND ".join(parts) or f"{column} IS NOT NULL"
            conditions.append(f"({condition} OR {column} IS NULL)" if it.nulls else condition)
        return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), parameters

    def _batches(
        self, blocks: Iterator[Sequence[Values]], columns: Sequence[int], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        row = 0
        with self._translated():
            for values in blocks:
                arrays = [
                    self._array(values[index], field, row)
                    for index, field in zip(columns, schema, strict=True)
                ]
                row += len(values[0])
                del values  # not to be held while the consumer works on the batch
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _array(self, values: Values, field: pa.Field, row: int) -> pa.Array:
        try:
            return self.dialect.to_array(values, field.type)
        except MISFITS:
            for offset in range(len(values)):
                value = values[offset : offset + 1]
                reason = misfit(self.dialect.to_array, value, field.type)
                if reason is not None:
                    raise SchemaMismatchError(
                        f"{_shown(value)} does not fit its type {field.type}: {reason}; "
                        "correct the row, or cast the column in a query=",
                        column=field.name,
                        row=row + offset + 1,
                    ) from None
            raise

    def _stored_schema(self, schema: pa.Schema) -> pa.Schema:
        if not schema.names:
            raise SchemaMismatchError("a table needs at least one column", column="")
        fields = []
        for field in schema:
            kind = self.dialect.stored_type(field.type)
            if kind is None:
                raise SchemaMismatchError(
                    f"{self.dialect.location.scheme} cannot store {field.type}: cast it first",
                    column=field.name,
                )
            fields.append(pa.field(field.name, kind))
        return pa.schema(fields)

    def _prepare(
        self,
        connection: sa.Connection,
        table: str,
        stored: pa.Schema,
        order: Order,
        made: ExitStack,
    ) -> tuple[str, pa.Schema]:
        """The table to fill, which is there, and the types to write."""
        exists = table in table_names(connection)
        if exists and order.if_exists == "fail":
            raise TargetExistsError(
                f"table {table!r} exists in {self.dialect.location}: "
                "give if_exists='append' or 'replace'"
            )
        if exists and order.if_exists in ("append", "upsert"):
            self.dialect.check_target(connection, table)
            target = self.dialect.describe(connection, f"SELECT * FROM {quoted(table)}")  # noqa: S608
            return table, append_schema(stored, target)
        parts = []
        for field in stored:
            kind = self.dialect.declaration(field.type, in_key=field.name in order.key)
            parts.append(f"{quoted(field.name)} {kind}")
        if order.key:
            parts.append(f"PRIMARY KEY ({listed_names(order.key)})")
        definition = f"({', '.join(parts)})"
        created = self.dialect.created(connection, table, definition, exists=exists)
        return made.enter_context(created), stored


def _storable(data: Watched, stored: pa.Schema, key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows in the types to write, and not too many at a time."""
    row = 0
    # The source's own errors pass through untouched: they are not this database's.
    for given in data:
        for start in range(0, given.num_rows, _ROWS_AT_A_TIME):
            batch = cast_batch(given.slice(start, _ROWS_AT_A_TIME), stored)
            check_years(batch)
            check_no_null(key, batch, row)
            row += batch.num_rows
            yield batch


def _readable(described: pa.Schema, names: Sequence[str] | None) -> list[int]:
    """The positions of the columns to read, all of which have a type in Arrow."""
    for name in names or ():
        if name not in described.names:
            raise ColumnNotFoundError(f"no column {name!r}", available=described.names)
    positions = [described.names.index(name) for name in names or described.names]
    for position in positions:
        field = described.field(position)
        if field.metadata is not None:
            raise SchemaMismatchError(
                f"no Arrow type for {field.metadata[b'declared'].decode()}: leave it out with "
                "columns=, or cast it in a query=, as in CAST(... AS text)",
                column=field.name,
            )
    return positions


def check_distinct(names: Sequence[str]) -> None:
    """Raise `SchemaMismatchError` if a query yields two columns of one name."""
    for name in names:
        if names.count(name) > 1:
            raise SchemaMismatchError("the query yields it twice: rename one", column=name)


def table_names(connection: sa.Connection) -> list[str]:
    """The tables and views of the default schema, sorted."""
    inspector = sa.inspect(connection)
    names = {*inspector.get_table_names(), *inspector.get_view_names()}
    return sorted(name for name in names if not name.startswith(ASIDE))


def _shown(value: Values, limit: int = 60) -> str:
    try:
        (only,) = value.to_pylist() if isinstance(value, pa.Array) else value
    except OverflowError:  # Python's calendar ends before Arrow's
        return "a time"
    text = repr(only)
    return text if len(text) <= limit else text[:limit] + "..."
