"""Rows out of PostgreSQL as Arrow: a binary COPY, which ADBC's driver decodes in C."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_manager import dbapi
from adbc_driver_postgresql import StatementOptions
from adbc_driver_postgresql.dbapi import connect

from data_connector.sql_dialect import Rows, Values

DriverError = dbapi.Error

# What the driver puts before the server's own words.
_PREFIX = re.compile(r"^(?:[A-Z_]+: )?(?:\[libpq\] )?(?:Execution error )?(?:\[\w+\]: )?")

# A batch of the driver's: so small that a slow consumer's memory is of no concern, so large that
# the cost a batch vanishes.
_BATCH_BYTES = 4 << 20

# PostgreSQL's own first day and microsecond, in 4714 BC, counted from 1970. What lies before is
# what the driver makes of `infinity` and `-infinity`, and of times beyond 64 bits.
_FIRST_DAY = -2_440_588
_FIRST_MICROSECOND = _FIRST_DAY * 86_400_000_000


class CopyError(Exception):
    """A COPY that broke off; the driver tells no SQLSTATE then, so that it is a guess."""

    def __init__(self, message: str, *, sqlstate: str) -> None:
        self.sqlstate = sqlstate
        super().__init__(message)


@contextmanager
def copied(conninfo: str, statement: str, settings: Sequence[str]) -> Iterator[Rows]:
    """The rows of a SELECT, in a read-only transaction of a connection of its own.

    Args:
        conninfo: libpq's connection string.
        statement: holds no parameters, since COPY takes none.
        settings: statements that the transaction begins with.
    """
    with ExitStack() as resources:
        connection = resources.enter_context(closing(connect(conninfo)))
        cursor = resources.enter_context(closing(connection.cursor()))
        for setting in settings:
            cursor.execute(setting)
        cursor.adbc_statement.set_options(
            **{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)}
        )
        cursor.execute(statement)
        reader = resources.enter_context(cursor.fetch_record_batch())
        yield Rows(reader.schema.names, _blocks(reader, connection))


def message_of(error: Exception) -> str:
    """What the server said, without what the driver puts around it."""
    for key, value in getattr(error, "details", None) or ():
        if key == b"PG_DIAG_MESSAGE_PRIMARY":
            return str(value.decode())
    return _PREFIX.sub("", str(error))


def _blocks(reader: pa.RecordBatchReader, connection: dbapi.Connection) -> Iterator[list[pa.Array]]:
    try:
        for batch in reader:
            yield batch.columns
    except (pa.ArrowException, OSError) as error:
        # Arrow's streams carry a message and no more: ask whether the server is still there.
        try:
            connection.rollback()
        except DriverError:
            raise CopyError(str(error), sqlstate="08006") from None
        canceled = "canceling statement" in str(error)  # by a timeout, or somebody
        raise CopyError(str(error), sqlstate="57014" if canceled else "XX000") from None


def to_array(values: Values, kind: pa.DataType) -> pa.Array:
    """The driver's array as one of `kind`, exactly: it has text for NUMERIC.

    Raises:
        ValueError: an infinite time, or one that has no place in 64 bits.
        pyarrow.ArrowInvalid: a number that `kind` cannot hold.
    """
    array = values if isinstance(values, pa.Array) else pa.array(values)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if kind == pa.int64() and array.type == pa.int32():  # an oid, which has no sign
        array = array.view(pa.uint32())
    array = array.cast(kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        is_date = pa.types.is_date(kind)
        first = _FIRST_DAY if is_date else _FIRST_MICROSECOND
        least = pc.min(array.view(pa.int32() if is_date else pa.int64())).as_py()
        if least is not None and least < first:
            raise ValueError("it is infinite, or lies beyond the year 294246")
    return array
