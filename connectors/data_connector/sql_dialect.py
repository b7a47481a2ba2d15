"""What a SQL database is to this library: its dialect, and the values that its driver yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import pyarrow as pa
import sqlalchemy as sa

from data_connector.errors import ConnectorError
from data_connector.locations import DatabaseLocation

# As a driver yields them: plain values, None for NULL, or an array already.
Values: TypeAlias = "Sequence[Any] | pa.Array"


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

    def declaration(self, kind: pa.DataType) -> str:
        """The SQL type of a column of a stored type."""

    def check_names(self, names: Sequence[str]) -> None:
        """Raise `SchemaMismatchError` for a column or table name that cannot be kept."""

    def staging(self, name: str, table: str, columns: Sequence[str]) -> str:
        """The statement that makes a temporary table `name` for rows on their way into `table`."""

    @property
    def row_order(self) -> str:
        """The hidden column by which a new table's rows are in the order of their coming."""

    def lacks_key(self, error: BaseException) -> bool:
        """Whether the driver's error says that no unique index is on the columns of ON CONFLICT."""

    def differ(self, there: Sequence[str], given: Sequence[str]) -> str:
        """A condition that holds unless all columns `there` hold exactly what is `given`.

        NULL and NULL are the same, and what merely counts as equal to the database is not.
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


# What `Dialect.to_array` may raise.
MISFITS = (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError)


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
