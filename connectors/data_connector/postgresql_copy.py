"""Rows as PostgreSQL's COPY takes them: in its binary format, or as CSV for types it alone knows.

Binary (https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format") because the server
then parses nothing: a row is the number of its fields, and each field its length and its bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from data_connector.arrow_types import MICROSECONDS, UTC_MICROSECONDS
from data_connector.postgresql_types import NUMERIC, WRITTEN

# Signature, flags, and the length of an extension; -1 fields end it all.
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_NULL = b"\xff\xff\xff\xff"  # -1 bytes
_NEGATIVE = 0x4000  # as NUMERIC writes a minus
_VARYING = (pa.string(), pa.binary())

# PostgreSQL counts from 2000-01-01.
_DAYS_TO_2000 = 10_957
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * 86_400_000_000

_BIG_ENDIAN = {
    pa.bool_(): "u1",
    pa.int16(): ">i2",
    pa.int32(): ">i4",
    pa.int64(): ">i8",
    pa.float32(): ">f4",
    pa.float64(): ">f8",
    pa.date32(): ">i4",
    MICROSECONDS: ">i8",
    UTC_MICROSECONDS: ">i8",
}


def is_written(identifier: int, kind: pa.DataType) -> bool:
    """Whether a column of the server's type takes values of `kind` in binary."""
    if identifier == NUMERIC:
        return bool(pa.types.is_decimal(kind))
    return bool(WRITTEN.get(identifier) == kind)


def binary(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes | memoryview]:
    """What COPY ... (FORMAT binary) reads, piece by piece."""
    yield HEADER
    for batch in batches:
        yield encoded(batch)
    yield TRAILER


def encoded(batch: pa.RecordBatch) -> memoryview:
    """The rows of a batch, without header and trailer."""
    # Neighbours of a fixed width are rows of a structured array, which NumPy fills at once; what
    # varies, Arrow joins to them value by value.
    parts: list[pa.Array] = []
    fixed: list[NDArray[Any]] = [np.full(len(batch), batch.num_columns, ">i2")]
    for array in batch.columns:
        values = None if array.type in _VARYING else _big_endian(array)
        if values is not None and not array.null_count:
            fixed += [np.full(len(array), values.dtype.itemsize, ">i4"), values]
            continue
        if fixed:
            parts.append(_as_binary(_side_by_side(fixed)))
            fixed = []
        parts += _nullable(array, values)
    if fixed:
        parts.append(_as_binary(_side_by_side(fixed)))
    if len(parts) > 1:
        parts.append(pa.scalar(b"", pa.binary()))  # between them
        options = {"null_handling": "replace", "null_replacement": _NULL}
        rows = pc.binary_join_element_wise(*parts, **options)
    else:
        rows = parts[0]
    return memoryview(rows.buffers()[2])


def _side_by_side(columns: list[NDArray[Any]]) -> NDArray[Any]:
    rows = np.empty(
        len(columns[0]), [(f"f{number}", column.dtype) for number, column in enumerate(columns)]
    )
    for name, column in zip(rows.dtype.names or (), columns, strict=True):
        rows[name] = column
    return rows


def _nullable(array: pa.Array, values: NDArray[Any] | None) -> list[pa.Array]:
    """Columns of bytes that make a field when joined; NULL where they stand for one."""
    valid = None
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
    if values is not None:
        width = np.full(len(array), values.dtype.itemsize, ">i4")
        return [_as_binary(_side_by_side([width, values]), valid)]
    text = array.cast(pa.binary())
    if valid is not None:
        text = text.fill_null(b"")
    length = pc.binary_length(text).to_numpy().astype(">i4")
    return [_as_binary(length, valid), text]


def _as_binary(values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """Each value's bytes."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.dtype.itemsize
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = pa.py_buffer(np.ascontiguousarray(values).view(np.uint8))
    return pa.Array.from_buffers(pa.binary(), len(values), [mask, pa.py_buffer(offsets), data])


def _big_endian(array: pa.Array) -> NDArray[Any]:
    """The values as the server has them; NULL is some value."""
    kind = array.type
    if pa.types.is_decimal(kind):
        return _numeric(array)
    if pa.types.is_timestamp(kind):
        numbers = array.cast(pa.int64())
    elif pa.types.is_date(kind):
        numbers = array.cast(pa.int32())
    else:
        numbers = array
    if array.null_count:
        numbers = numbers.fill_null(pa.scalar(0).cast(numbers.type))
    values = numbers.to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(kind):
        values = values - _MICROSECONDS_TO_2000
    elif pa.types.is_date(kind):
        values = values - _DAYS_TO_2000
    written: NDArray[Any] = values.astype(_BIG_ENDIAN[kind])
    return written


def _numeric(array: pa.Array) -> NDArray[Any]:
    """NUMERIC: counts, the sign, and digits to the base 10,000 on both sides of the point."""
    kind = array.type
    before = -(-(kind.precision - kind.scale) // 4)
    after = -(-kind.scale // 4)
    # The number without its point, as text: Arrow would write small ones with an exponent.
    unscaled = pa.Array.from_buffers(
        (pa.decimal128 if kind.bit_width == 128 else pa.decimal256)(kind.precision, 0),
        len(array),
        array.buffers(),
        offset=array.offset,
    )
    text = unscaled.cast(pa.string()).fill_null("0")
    digits = pc.ascii_lpad(pc.ascii_ltrim(text, "-"), 4 * before + kind.scale, "0")
    digits = pc.ascii_rpad(digits, 4 * (before + after), "0").cast(pa.binary())
    characters = np.frombuffer(digits.buffers()[2], np.uint8)[: len(array) * 4 * (before + after)]
    groups = (characters.reshape(len(array), before + after, 4) - ord("0")) @ np.array(
        [1000, 100, 10, 1], np.int16
    )
    negative = pc.starts_with(text, "-").to_numpy(zero_copy_only=False)
    rows = np.empty(len(array), [("head", ">i2", 4), ("digits", ">i2", before + after)])
    rows["head"][:, 0] = before + after
    rows["head"][:, 1] = before - 1
    rows["head"][:, 2] = negative * _NEGATIVE
    rows["head"][:, 3] = kind.scale
    rows["digits"] = groups
    return rows


def csv(batches: Iterator[pa.RecordBatch]) -> Iterator[memoryview]:
    """What COPY ... (FORMAT csv) reads, piece by piece."""
    for batch in batches:
        columns = [_as_text(array) for array in batch.columns]
        text = io.BytesIO()
        # Text is quoted, NULL is not: so COPY tells an empty text from NULL.
        pyarrow.csv.write_csv(
            pa.RecordBatch.from_arrays(columns, names=batch.schema.names),
            text,
            pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"),
        )
        yield text.getbuffer()


def _as_text(array: pa.Array) -> pa.Array:
    if pa.types.is_decimal(array.type):
        return array.cast(pa.string())
    if pa.types.is_binary(array.type):
        return pa.array(
            [None if v is None else f"\\x{v.hex()}" for v in array.to_pylist()], pa.string()
        )
    if array.type == UTC_MICROSECONDS:
        # The session's zone is UTC, and a cast with a zone takes ten times as long.
        return array.cast(MICROSECONDS)
    return array
