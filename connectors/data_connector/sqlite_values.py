"""Values as SQLite stores them, as Arrow has them, and back: never another value than was there."""

from __future__ import annotations

import struct
from contextlib import suppress
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_connector.arrow_types import MICROSECONDS, UTC_MICROSECONDS
from data_connector.errors import SchemaMismatchError
from data_connector.sql_dialect import Values

EXACT_DIGITS = 15
"""That a decimal keeps as a float (https://sqlite.org/datatype3.html, section 3.1)."""


def declared_values(values: Values, kind: pa.DataType) -> pa.Array:
    """What is stored in a column, as the type that the column is declared as.

    Raises:
        pyarrow.ArrowException, ValueError, TypeError, ArithmeticError: a value is no such one.
    """
    if pa.types.is_decimal(kind):
        return _decimals(values, kind)
    if isinstance(values, pa.Array):
        return _declared_as(kind, values)
    if pa.types.is_binary(kind) and any(type(value) is str for value in values):
        raise TypeError("SQLite stores it as text")
    if pa.types.is_int64(kind):
        with suppress(struct.error):  # a NULL, or no integer
            packed = struct.pack(f"{len(values)}q", *values)  # three times as fast as Arrow
            return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(packed)])
    # The type is inferred first: told the type, Arrow would let 1.5 be the integer 1.
    return _declared_as(kind, pa.array(values))


def stored_array(array: pa.Array, field: pa.Field) -> pa.Array:
    """The values as SQLite stores them: of int64, float64, string or binary."""
    kind = field.type
    if pa.types.is_floating(kind) and pc.any(pc.is_nan(array)).as_py():
        raise SchemaMismatchError("SQLite would store NaN as NULL: replace it", column=field.name)
    if kind == UTC_MICROSECONDS:
        # Written as naive and marked afterwards: ten times as fast as a cast with its zone.
        return pc.binary_join_element_wise(array.cast(MICROSECONDS).cast(pa.string()), "Z", "")
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return array.cast(pa.string())
    return array.cast(pa.int64()) if pa.types.is_boolean(kind) else array


def stored_values(array: pa.Array, field: pa.Field) -> list[Any]:
    """The same as sqlite3 takes them."""
    stored = stored_array(array, field)
    if not stored.null_count and stored.type in (pa.int64(), pa.float64()):
        numbers: list[Any] = stored.to_numpy().tolist()  # five times as fast
        return numbers
    values: list[Any] = stored.to_pylist()
    return values


def _declared_as(kind: pa.DataType, stored: pa.Array) -> pa.Array:
    """What is stored, as the type that was declared for it."""
    if stored.null_count == len(stored):
        return pa.nulls(len(stored), kind)
    if stored.type == kind:
        return stored
    if pa.types.is_string(stored.type) and pa.types.is_temporal(kind):
        return stored.cast(kind)
    if pa.types.is_int64(stored.type) and pa.types.is_floating(kind):
        return stored.cast(kind)
    if pa.types.is_int64(stored.type) and pa.types.is_boolean(kind):
        if pc.all(pc.is_in(stored, pa.array([0, 1, None]))).as_py():
            return stored.cast(kind)
        raise ValueError("a boolean is 0 or 1")
    raise TypeError(f"SQLite stores it as {stored.type}")


def _decimals(values: Values, kind: pa.DataType) -> pa.Array:
    with suppress(pa.ArrowException):
        numbers = values if isinstance(values, pa.Array) else pa.array(values)
        scaled = _scaled(numbers, kind)
        if scaled is not None:
            return _from_scaled(scaled, numbers, kind)
    plain = values.to_pylist() if isinstance(values, pa.Array) else values
    return pa.array([None if v is None else _decimal(v) for v in plain], kind)


def _scaled(numbers: pa.Array, kind: pa.DataType) -> npt.NDArray[np.int64] | None:
    """Numbers times ten to the scale; None where one may be no such decimal, or has more digits."""
    is_integer = pa.types.is_int64(numbers.type)
    if kind.precision > EXACT_DIGITS or not (is_integer or pa.types.is_float64(numbers.type)):
        return None
    values = numbers.fill_null(0).to_numpy()
    power = 10**kind.scale
    if is_integer:
        limit = 10 ** (kind.precision - kind.scale)
        return values * power if ((-limit < values) & (values < limit)).all() else None
    with np.errstate(over="ignore"):
        scaled = np.rint(values * power)
    # A float is the nearest one to some decimal of so few digits, or to none: never to two.
    exact = (scaled / power == values) & (np.abs(scaled) < 10**kind.precision)
    return scaled.astype(np.int64) if exact.all() else None


def _from_scaled(scaled: npt.NDArray[np.int64], numbers: pa.Array, kind: pa.DataType) -> pa.Array:
    halves = np.stack([scaled, scaled >> 63], axis=1)  # of 128 bits, the lower first
    valid = None
    if numbers.null_count:
        there = numbers.is_valid().to_numpy(zero_copy_only=False)
        valid = pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.Array.from_buffers(kind, len(scaled), [valid, pa.py_buffer(halves)])


def _decimal(value: object) -> Decimal:
    # By its shortest text: 12.34 is stored as the float next to it, and is 12.34 again.
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int | str):
        return Decimal(value)
    raise TypeError(f"not a number: {type(value).__name__}")
