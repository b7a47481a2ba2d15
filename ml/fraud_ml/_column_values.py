"""The user's own columns as features: numbers as they are, categories as codes.

Both engines turn values into numbers here. A code depends on the value alone, so every process
gives a value the same one, whatever it has seen before.
"""

from __future__ import annotations

import decimal
import hashlib
import numbers
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml._columns import MAX_NUMBER
from fraud_ml._windows import Floats
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import ColumnFeature, ColumnKind, FeatureSpec

_CODE_BYTES = 3  # 24 bits: the most that float32, which models take, holds exactly


def check_columns(spec: FeatureSpec, there: Iterable[str]) -> None:
    """Raises :class:`DataError` where the columns ``there`` lack one that the spec reads."""
    there = list(there)
    for column in spec.columns:
        if column not in there:
            raise DataError(
                f"missing column {column!r}, which feature {spec.reader_of(column)!r} reads; the"
                f" transactions have: {', '.join(there)}"
            )


def column_of_table(transactions: pa.Table, feature: ColumnFeature) -> Floats:
    """The values of ``feature``, NaN where the column is null: shape ``(N,)``.

    Raises:
        DataError: a value is no number, or no category.
    """
    column = transactions.column(feature.column)
    if feature.kind is ColumnKind.NUMERIC:
        return _numbers(column.to_numpy(), feature)
    encoded = column.combine_chunks().dictionary_encode()  # each distinct value is hashed once
    codes = _codes([*encoded.dictionary.to_pylist(), None], feature)
    absent = len(codes) - 1
    result: Floats = codes[encoded.indices.fill_null(absent).to_numpy()]
    return result


def column_of_values(values: Sequence[Any] | npt.NDArray[Any], feature: ColumnFeature) -> Floats:
    """The values of ``feature``, NaN where a value is None or NaN: shape ``(N,)``.

    Raises:
        DataError: a value is no number, or no category.
    """
    if feature.kind is ColumnKind.NUMERIC:
        return _numbers(values, feature)
    return _codes(values, feature)


def category_code(value: Any) -> float:
    """A whole number below 2**24 for a category's value; NaN for None and NaN.

    It is the start of a BLAKE2b digest of the value as text: whole numbers in decimal, booleans
    as ``true`` and ``false``; so 5411 and "5411" are one category, whether a database or a CSV
    file says it. Two given values share a code with probability 2**-24; among 1,000 values any
    two do with probability 0.03, and among 10,000 about three pairs do. A model then takes the two
    for one. Keys of windows are compared as they are, never by code.

    Raises:
        TypeError: the value is no text, whole number or boolean.
    """
    if value is None or value != value:  # NaN alone differs from itself
        return float("nan")
    return _code(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    raise TypeError(value)


@lru_cache(maxsize=2**16)
def _code(text: str) -> float:
    # JSON can carry half a surrogate pair, and no payment shall fail on it.
    content = text.encode(errors="surrogatepass")
    return float(int.from_bytes(hashlib.blake2b(content, digest_size=_CODE_BYTES).digest()))


def _codes(values: Sequence[Any] | npt.NDArray[Any], feature: ColumnFeature) -> Floats:
    try:
        return np.array([category_code(value) for value in values], dtype=np.float64)
    except TypeError as error:
        raise DataError(
            f"feature {feature.name!r}: categories in column {feature.column!r} must be text,"
            f" whole numbers or true/false, got {error.args[0]!r}"
        ) from error


def _numbers(values: Sequence[Any] | npt.NDArray[Any], feature: ColumnFeature) -> Floats:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        for value in values:
            if not isinstance(value, numbers.Real | np.bool_ | decimal.Decimal | None):
                raise _no_number(value, feature)
    try:
        result: Floats = np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise _no_number(values, feature) from error
    too_large = np.abs(result) > MAX_NUMBER
    if too_large.any():
        raise _no_number(float(result[too_large][0]), feature)
    return result


def _no_number(value: Any, feature: ColumnFeature) -> DataError:
    return DataError(
        f"feature {feature.name!r}: column {feature.column!r} must hold numbers that are finite"
        f" and within {MAX_NUMBER:.4g}, or null, got {value!r}"
    )
