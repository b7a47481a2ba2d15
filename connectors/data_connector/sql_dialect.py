"""What a SQL database is to this library: its dialect, and the values that its driver yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import pyarrow as pa
import sqlalchemy as sa

from data_connector.errors import ConnectorError
from data_connector.locations import DatabaseLocation
from data_connector.statements import execute, quoted
from data_connector.upsert import Upsert

# As a driver yields them: plain values, None for NULL, or an array already.
Values: TypeAlias = "Sequence[Any] | pa.Array"

# What `Dialect.to_array` may raise.
MISFITS = (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a SELECT that runs, as blocks of columns."""

    names: Sequence[str]
    blocks: Iterator[Sequence[Values]]


class Dialect(Protocol):
    """What differs from database to database."""

    @property
    def location(self) -> DatabaseLocation:
        """Where the database is."""

    def engine(self, *, create: bool) -> sa.Engine:
        """An engine without a pool; `create` makes a database file where there is none."""

    def begin(self, connection: sa.Connection, *, write: bool) -> None:
        """Start the transaction."""

    def rows(
        self,
        connection: sa.Connection,
        statement: str,
        parameters: Sequence[Any],
        batch_rows: int,
    ) -> AbstractContextManager[Rows]:
        """The rows of a SELECT, left with the server until they are asked for.

        By the fastest way there is, and not as SQLAlchemy's rows, which take as long again as
        all the rest. Blocks have any size that fits in memory; the batches made of them are to
        have `batch_rows` rows.
        """

    def compare(
        self,
        connection: sa.Connection,
        column: str,
        kind: pa.DataType,
        comparison: str,
        key: pa.Scalar,
    ) -> tuple[str, list[Any]]:
        """A condition, and its parameters, that holds where `column` is `>=` or `<=` the key.

        It may hold for more rows, which are taken out later, but never for NULL.
        """

    def describe(self, connection: sa.Connection, statement: str) -> pa.Schema:
        """The schema of a SELECT's result, from declared types."""

    def to_array(self, values: Values, kind: pa.DataType) -> pa.Array:
        """Values as the driver yields them, as an array of `kind`.

        Raises `pyarrow.ArrowException`, `ValueError`, `TypeError`, `OverflowError` or
        `ArithmeticError` if one does not fit exactly.
        """

    def stored_type(self, kind: pa.DataType) -> pa.DataType | None:
        """The type that a column of Arrow type `kind` comes back as; None: cannot be stored."""

    def selected(self, column: str, kind: pa.DataType) -> str:
        """The column of a table as an item of SELECT, under the same name and sent exactly."""

    def declaration(self, kind: pa.DataType, *, in_key: bool) -> str:
        """The SQL type of a column of a stored type."""

    def check_names(self, names: Sequence[str]) -> None:
        """Raise `SchemaMismatchError` for a column or table name that cannot be kept."""

    def created(
        self, connection: sa.Connection, table: str, definition: str, *, exists: bool
    ) -> AbstractContextManager[str]:
        """The name of a new table, to be filled by the block, in the place of one that `exists`.

        Others see it when the transaction is committed and the block has ended well; it is gone
        if either fails.
        """

    def check_target(self, connection: sa.Connection, table: str) -> None:
        """Raise `WriteError` if rows cannot be added to the table all or not at all."""

    def staging(self, name: str, table: str, columns: Sequence[str]) -> str:
        """The statement that makes a temporary table `name` for rows on their way into `table`."""

    def row_order(self, staging: str) -> str:
        """The hidden column by which a staging table's rows are in the order of their coming."""

    def check_key(self, connection: sa.Connection, upsert: Upsert) -> None:
        """Raise the upsert's `lacks_key` if no unique index is on exactly its key."""

    def merge(self, connection: sa.Connection, upsert: Upsert) -> None:
        """Bring the staged rows into the table, and drop the staging table.

        A row that is there as given already, byte for byte, is not written.
        """

    def insert(
        self,
        connection: sa.Connection,
        table: str,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
    ) -> None:
        """Write batches of stored types into the table, by the driver's fastest way."""

    def translate(self, error: Exception) -> ConnectorError:
        """The driver's error in this library's words; secrets are taken out later."""


class TransactionalDialect:
    """What databases share that know ON CONFLICT, and whose transactions take in CREATE."""

    __slots__ = ()

    def selected(self, column: str, kind: pa.DataType) -> str:  # noqa: ARG002
        """The column as it stands."""
        return column

    @contextmanager
    def created(
        self, connection: sa.Connection, table: str, definition: str, *, exists: bool
    ) -> Iterator[str]:
        """The table itself, which others see from the commit on."""
        if exists:
            execute(connection, f"DROP TABLE {quoted(table)}")
        execute(connection, f"CREATE TABLE {quoted(table)} {definition}")
        yield table

    def check_target(self, connection: sa.Connection, table: str) -> None:
        """Every table takes part in transactions."""

    def check_key(self, connection: sa.Connection, upsert: Upsert) -> None:
        """Let the database plan the merge."""
        try:
            execute(connection, f"EXPLAIN {upsert.on_conflict(self.differ)}").close()
        except sa.exc.DBAPIError as error:
            if error.orig is not None and self.lacks_key(error.orig):
                raise upsert.lacks_key() from None
            raise

    def lacks_key(self, error: BaseException) -> bool:
        """Whether the driver's error says that no unique index is on the columns of ON CONFLICT."""
        raise NotImplementedError

    def differ(self, there: Sequence[str], given: Sequence[str]) -> str:
        """A condition that holds unless all columns `there` hold exactly what is `given`.

        NULL and NULL are the same, and what merely counts as equal to the database is not.
        """
        raise NotImplementedError

    def merge(self, connection: sa.Connection, upsert: Upsert) -> None:
        """By ON CONFLICT."""
        execute(connection, upsert.on_conflict(self.differ)).close()
        execute(connection, f"DROP TABLE {upsert.staging}")


def misfit(
    convert: Callable[[Values, pa.DataType], pa.Array], value: Values, kind: pa.DataType
) -> str | None:
    """Why the only one of `value` does not fit `kind`; None if it does."""
    try:
        convert(value, kind)
    except MISFITS as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def undescribed(name: str, declared: str) -> pa.Field:
    """A column whose declared type has no counterpart in Arrow: an error once it is read."""
    return pa.field(name, pa.null(), metadata={"declared": declared})
