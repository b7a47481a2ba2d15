"""Arrow types as databases store them, and the checks that nothing is lost on the way."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pyarrow.compute as pc

from data_connector.errors import SchemaMismatchError

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
MICROSECONDS = pa.timestamp("us")

# What a decimal without a declared precision becomes: exact for all but the most extreme values.
ANY_DECIMAL = pa.decimal256(76, 38)

# Years 1 to 9999: what text, PostgreSQL and Python can all hold. Days and microseconds since 1970.
_EPOCH = datetime.date(1970, 1, 1)
_FIRST_DAY = (datetime.date.min - _EPOCH).days
_LAST_DAY = (datetime.date.max - _EPOCH).days
_FIRST_MICROSECOND = _FIRST_DAY * 86_400_000_000
_LAST_MICROSECOND = (_LAST_DAY + 1) * 86_400_000_000 - 1

_INTEGERS = {
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.int16(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.int32(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.int64(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}


def stored_type(kind: pa.DataType) -> pa.DataType | None:
    """The narrowest type of SQL's own that holds every value of `kind`; None if there is none."""
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if pa.types.is_integer(kind):
        return _INTEGERS[kind]
    if pa.types.is_floating(kind):
        return pa.float64() if kind == pa.float64() else pa.float32()
    if pa.types.is_decimal(kind):
        return decimal_type(kind.precision, kind.scale) if kind.scale >= 0 else None
    if pa.types.is_timestamp(kind):
        return MICROSECONDS if kind.tz is None else UTC_MICROSECONDS
    if pa.types.is_boolean(kind):
        return pa.bool_()
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if _is_binary(kind):
        return pa.binary()
    return None


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def decimal_type(precision: int, scale: int) -> pa.DataType | None:
    """The decimal of that many digits, `scale` of them after the point; None if too many."""
    if not 0 <= scale <= precision <= 76:
        return None
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def holds(target: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a column of type `target` holds every value of the stored type `kind`, unchanged."""
    if target == kind:
        return True
    if pa.types.is_integer(target) and pa.types.is_integer(kind):
        return bool(target.bit_width >= kind.bit_width)
    if pa.types.is_floating(target) and pa.types.is_floating(kind):
        return bool(target.bit_width >= kind.bit_width)
    if pa.types.is_decimal(target) and pa.types.is_decimal(kind):
        whole, fraction = target.precision - target.scale, target.scale
        return bool(whole >= kind.precision - kind.scale and fraction >= kind.scale)
    return False


def append_schema(stored: pa.Schema, target: pa.Schema) -> pa.Schema:
    """The types to append with: the target's, in the order of the data.

    Raises:
        SchemaMismatchError: a column is missing on either side, or the target's cannot hold it.
    """
    for name in target.names:
        if name not in stored.names:
            raise SchemaMismatchError("the target has it, the data has not", column=name)
    fields = []
    for field in stored:
        if field.name not in target.names:
            raise SchemaMismatchError(
                f"the data has it, the target has not; it has {target.names}", column=field.name
            )
        kind = target.field(field.name).type
        if pa.types.is_null(kind):  # not declared, or of no type in Arrow: the database judges
            kind = field.type
        if not holds(kind, field.type):
            raise SchemaMismatchError(
                f"the target holds {kind}, which cannot take {field.type}: cast it first",
                column=field.name,
            )
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` with the types of `schema`, which has the same columns in the same order.

    Raises:
        SchemaMismatchError: a value would change.
    """
    arrays = []
    for field, array in zip(schema, batch.columns, strict=True):
        try:
            cast = array.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaMismatchError(
                f"cannot store {array.type} as {field.type}: {error}", column=field.name
            ) from error
        arrays.append(cast)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def check_years(batch: pa.RecordBatch) -> None:
    """Check that dates and timestamps can be written with a year of four digits.

    Raises:
        SchemaMismatchError: one lies outside of the years 1 to 9999.
    """
    for field, array in zip(batch.schema, batch.columns, strict=True):
        if not pa.types.is_temporal(field.type) or array.null_count == len(array):
            continue
        if pa.types.is_timestamp(field.type):
            bounds = _FIRST_MICROSECOND, _LAST_MICROSECOND
            numbers = array.cast(pa.int64())
        else:
            bounds = _FIRST_DAY, _LAST_DAY
            numbers = array.cast(pa.int32())
        ends = pc.min_max(numbers).as_py()
        if ends["min"] < bounds[0] or ends["max"] > bounds[1]:
            raise SchemaMismatchError("a time outside of the years 1 to 9999", column=field.name)
