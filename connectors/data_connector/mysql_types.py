"""The types of MySQL and MariaDB as Arrow's, and the server's texts as Arrow's values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pymysql.constants import FIELD_TYPE, FLAG

from data_connector import arrow_types
from data_connector.arrow_types import MICROSECONDS, UTC_MICROSECONDS, decimal_type
from data_connector.sql_dialect import Values, undescribed

DECLARATIONS = {
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "TINYINT UNSIGNED",
    pa.uint16(): "SMALLINT UNSIGNED",
    pa.uint32(): "INTEGER UNSIGNED",
    pa.uint64(): "BIGINT UNSIGNED",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.string(): "LONGTEXT",
    pa.binary(): "LONGBLOB",
    pa.date32(): "DATE",
    MICROSECONDS: "DATETIME(6)",
}

_MOST_DIGITS = 65
_MOST_AFTER_POINT = 30  # MySQL's; MariaDB has 38

_BINARY = 63  # the character set of what is no text

_INTEGERS = {
    FIELD_TYPE.TINY: (pa.int8(), pa.uint8()),
    FIELD_TYPE.SHORT: (pa.int16(), pa.uint16()),
    FIELD_TYPE.INT24: (pa.int32(), pa.uint32()),
    FIELD_TYPE.LONG: (pa.int32(), pa.uint32()),
    FIELD_TYPE.LONGLONG: (pa.int64(), pa.uint64()),
}
_TEXTS = (
    *(FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.ENUM),
    *(FIELD_TYPE.SET, FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB),
    FIELD_TYPE.BLOB,
)
_OTHERS = {
    FIELD_TYPE.FLOAT: pa.float32(),
    FIELD_TYPE.DOUBLE: pa.float64(),
    FIELD_TYPE.YEAR: pa.int16(),
    FIELD_TYPE.DATE: pa.date32(),
    FIELD_TYPE.DATETIME: MICROSECONDS,
    FIELD_TYPE.TIMESTAMP: UTC_MICROSECONDS,
    FIELD_TYPE.JSON: pa.string(),
    FIELD_TYPE.NULL: pa.null(),
}
_NAMES = {FIELD_TYPE.TIME: "TIME", FIELD_TYPE.GEOMETRY: "GEOMETRY"}


def fields(cursor: Any) -> list[pa.Field]:
    """The columns of the result that a cursor of PyMySQL's has."""
    # The cursor's own description lacks the flags and the character set.
    return [_field(column) for column in cursor._result.fields]


def stored_type(kind: pa.DataType) -> pa.DataType | None:
    """The type that a column of `kind` comes back as; None: cannot be stored."""
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if pa.types.is_integer(kind):
        return kind
    if pa.types.is_decimal(kind) and (
        kind.precision > _MOST_DIGITS or kind.scale > _MOST_AFTER_POINT
    ):
        return None
    return arrow_types.stored_type(kind)


def to_array(values: Values, kind: pa.DataType) -> pa.Array:
    """The server's texts as an array of `kind`, exactly.

    Raises:
        ValueError: a BOOLEAN, which is a TINYINT, that is neither 0 nor 1.
        pyarrow.ArrowInvalid: a date that there is not, such as 0000-00-00.
    """
    if pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_null(kind):
        return pa.array(values, kind)
    if any(isinstance(value, bytes) for value in values):  # BIT
        numbers = [None if v is None else int.from_bytes(v) for v in values]
        return pa.array(numbers, pa.uint64()).cast(kind)
    texts = pa.array(values, pa.string())
    if pa.types.is_boolean(kind):
        if not pc.all(pc.is_in(texts, pa.array(["0", "1", None])), min_count=0).as_py():
            raise ValueError("a boolean is 0 or 1")
        return pc.equal(texts, "1")
    if pa.types.is_float32(kind):
        return texts.cast(pa.float64()).cast(kind)  # as it was selected
    if kind == UTC_MICROSECONDS:
        return texts.cast(MICROSECONDS).cast(kind)  # the session's zone is UTC
    return texts.cast(kind)


def _field(column: Any) -> pa.Field:
    kind = _type(column)
    if kind is None:
        declared = _NAMES.get(column.type_code, f"the server's type {column.type_code}")
        return undescribed(column.name, declared)
    return pa.field(column.name, kind)


def _type(column: Any) -> pa.DataType | None:
    unsigned = bool(column.flags & FLAG.UNSIGNED)
    code = column.type_code
    if code == FIELD_TYPE.BIT:
        return pa.bool_() if column.length == 1 else pa.uint64()
    if code == FIELD_TYPE.TINY and column.length == 1 and not unsigned:
        return pa.bool_()
    if code in _INTEGERS:
        return _INTEGERS[code][unsigned]
    if code == FIELD_TYPE.NEWDECIMAL:
        # The length is that of the text: digits, a point and a sign.
        precision = column.length - (column.scale > 0) - (not unsigned)
        return decimal_type(precision, column.scale)
    if code in _TEXTS:
        return pa.binary() if column.charsetnr == _BINARY else pa.string()
    return _OTHERS.get(code)
