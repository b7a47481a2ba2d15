"""Ranges of keys and of times: which rows to read. What a database answers is checked in Arrow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from data_connector.errors import ColumnNotFoundError, SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

Key = int | str | Decimal | dt.date | dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRange:
    """The rows whose `column` lies from `start` on and before `stop`.

    Texts are ordered by their bytes, whatever the database's collation. Times in a column without
    a zone are taken as UTC.
    """

    column: str
    """A column of integers, decimals, texts, dates or times."""

    start: Key | None = None
    """The first key; None for no limit."""

    stop: Key | None = None
    """The key that is the first one no more; None for no limit."""

    after_start: bool = False
    """Whether `start` itself is left out."""

    nulls: bool = False
    """Whether the rows without a key belong to it."""

    @property
    def is_everything(self) -> bool:
        """Whether all rows lie in it."""
        return self.start is None and self.stop is None and self.nulls

    def bounds(self, kind: pa.DataType) -> tuple[pa.Scalar | None, pa.Scalar | None]:
        """`start` and `stop` as values to compare a column of type `kind` with.

        Raises:
            SchemaMismatchError: they cannot be compared with it.
        """
        start, stop = (
            None if key is None else _scalar(key, kind, self.column)
            for key in (self.start, self.stop)
        )
        return start, stop

    def mask(self, array: pa.Array) -> pa.Array:
        """Whether each key of `array` lies in the range, none of them NULL."""
        import pyarrow.compute as pc

        start, stop = self.bounds(array.type)
        kept = array.is_valid()
        if start is not None:
            compare = pc.greater if self.after_start else pc.greater_equal
            kept = pc.and_kleene(kept, compare(array, start))
        if stop is not None:
            kept = pc.and_kleene(kept, pc.less(array, stop))
        return pc.or_(kept, array.is_null()) if self.nulls else kept

    def expression(self, kind: pa.DataType) -> ds.Expression:
        """A condition that holds for all rows of the range, for a reader that can skip others."""
        import pyarrow.dataset as ds

        start, stop = self.bounds(kind)
        field = ds.field(self.column)
        condition = ds.scalar(True)  # noqa: FBT003 - a value, not a flag
        if start is not None:
            condition &= field >= start
        if stop is not None:
            condition &= field < stop
        return condition | field.is_null() if self.nulls else condition


def check_ranges(ranges: Sequence[KeyRange], schema: pa.Schema) -> None:
    """Check that each range's column is there, and of a type that has ranges.

    Raises:
        ColumnNotFoundError: it is not there.
        SchemaMismatchError: it is of another type.
    """
    for it in ranges:
        if it.column not in schema.names:
            raise ColumnNotFoundError(f"no column {it.column!r}", available=schema.names)
        kind = schema.field(it.column).type
        if not is_ordered(kind):
            raise SchemaMismatchError(
                f"{kind} is no key: give a column of integers, decimals, texts, dates or times",
                column=it.column,
            )
        it.bounds(kind)


def is_ordered(kind: pa.DataType) -> bool:
    """Whether values of `kind` have ranges; floats have none, since NaN lies nowhere."""
    import pyarrow.types as types

    return bool(
        types.is_integer(kind)
        or types.is_decimal(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
    )


def with_keys(names: Sequence[str], ranges: Sequence[KeyRange]) -> list[str]:
    """The columns to read: those asked for, then those that only the ranges need."""
    return list(dict.fromkeys([*names, *(it.column for it in ranges)]))


def in_ranges(
    batches: Iterator[pa.RecordBatch], ranges: Sequence[KeyRange], names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The rows that lie in all ranges, with the columns `names`; no empty batches."""
    import pyarrow.compute as pc

    for batch in batches:
        kept = batch
        for it in ranges:
            mask = it.mask(kept.column(it.column))
            if not pc.all(mask, min_count=0).as_py():
                kept = kept.filter(mask)
        if kept.num_rows:
            yield kept.select(names)


def _scalar(key: Key, kind: pa.DataType, column: str) -> pa.Scalar:
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_timestamp(kind) and isinstance(key, dt.datetime):
        if kind.tz is None and key.tzinfo is not None:
            key = key.astimezone(dt.UTC).replace(tzinfo=None)
        if (kind.tz is None) == (key.tzinfo is None):
            return pa.scalar(key, pa.timestamp("us", tz=kind.tz))
    elif _is_plain(key, kind):
        try:
            # An integer beyond the column's own type has its place among its keys all the same.
            wide = types.is_integer(kind) and kind != pa.uint64()
            decimal = types.is_decimal(kind)
            return pa.scalar(
                Decimal(key) if decimal else key,  # type: ignore[arg-type]
                pa.int64() if wide else None if decimal else kind,
            )
        except (OverflowError, pa.ArrowInvalid):
            pass
    raise SchemaMismatchError(f"it is {kind}, which has no place for {key!r}", column=column)


def _is_plain(key: Any, kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_integer(kind):
        return type(key) is int
    if types.is_decimal(kind):
        return type(key) is int or (isinstance(key, Decimal) and key.is_finite())
    if types.is_date(kind):
        return type(key) is dt.date
    return isinstance(key, str) and not types.is_timestamp(kind)
