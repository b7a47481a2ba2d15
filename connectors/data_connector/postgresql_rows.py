"""Rows out of PostgreSQL as Arrow: a binary COPY, which machine code decodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.pq import TransactionStatus

from data_connector.postgresql_blocks import blocks, row_reader
from data_connector.sql_dialect import Rows, Values

# Rows that machine code reads at a time, and rows held as Python's objects.
_NATIVE_BLOCK_ROWS = 65_536
_BLOCK_ROWS = 2_048

# Until a server that is asked to stop says that it has heard.
_CANCEL_TIMEOUT = 5.0  # seconds

# PostgreSQL's own first day and microsecond, in 4714 BC, counted from 1970. What lies before is
# what becomes of `infinity` and `-infinity`, and of times beyond 64 bits.
_FIRST_DAY = -2_440_588
_FIRST_MICROSECOND = _FIRST_DAY * 86_400_000_000


@contextmanager
def copied(
    connection: psycopg.Connection[Any],
    select: str,
    columns: Sequence[psycopg.Column],
    batch_rows: int,
) -> Iterator[Rows]:
    """The rows of a SELECT, which stream; the connection is closed if they are not read to the end.

    Args:
        connection: in a transaction.
        select: holds no parameters, since COPY takes none.
        columns: of its result, as the server describes them.
        batch_rows: rows that a block has at most.
    """
    reader = row_reader()
    names = [column.name for column in columns]
    types = [column.type_code for column in columns]
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({select}) TO STDOUT (FORMAT binary)") as copy,
    ):
        try:
            if reader is not None:
                size = min(batch_rows, _NATIVE_BLOCK_ROWS)
                yield Rows(names, blocks(reader, connection, types, size))
            else:
                copy.set_types(types)
                yield Rows(names, _by_psycopg(copy, min(batch_rows, _BLOCK_ROWS)))
        finally:
            if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # Nobody wants the rest: without a word, a server might sort on for hours.
                with suppress(psycopg.Error):  # it is out of reach by now
                    connection.cancel_safe(timeout=_CANCEL_TIMEOUT)
                connection.close()


def _by_psycopg(copy: psycopg.Copy, n_rows: int) -> Iterator[list[Values]]:
    rows = copy.rows()
    while block := list(islice(rows, n_rows)):
        yield [list(column) for column in zip(*block, strict=True)]


def to_array(values: Values, kind: pa.DataType) -> pa.Array:
    """What was read as an array of `kind`, exactly.

    Raises:
        ValueError: an infinite time, or one that has no place in 64 bits.
        pyarrow.ArrowInvalid: a number that `kind` cannot hold.
    """
    array = values if isinstance(values, pa.Array) else pa.array(values)
    array = array.cast(kind)  # NUMERIC was a text
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        is_date = pa.types.is_date(kind)
        first = _FIRST_DAY if is_date else _FIRST_MICROSECOND
        least = pc.min(array.view(pa.int32() if is_date else pa.int64())).as_py()
        if least is not None and least < first:
            raise ValueError("it is infinite, or lies beyond the year 294246")
    return array
