"""Casting one user's column to one of our types, or saying exactly why that is impossible."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml.errors import DataError

TIMESTAMP = pa.timestamp("us", tz="UTC")


def microseconds(delta: dt.timedelta) -> int:
    """``delta`` in whole microseconds."""
    return delta // dt.timedelta(microseconds=1)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST = microseconds(dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH)
_LAST = microseconds(dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH)

# Above it a float no longer tells cents apart, and sums over windows would not be exact.
MAX_AMOUNT = 1e13
MAX_NUMBER = (2 - 2**-23) * 2.0**127  # the largest float32: models take no other

# A zone at the end of a text that has a time of day; "2018-04-01" alone must not match "-01".
_ZONE_AT_END = r":\d{2}(\.\d+)?(Z|[+-]\d{2}(:?\d{2})?)$"
_FIXED_OFFSET = re.compile(r"[+-]\d{2}:\d{2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The user's table, and what its columns are called where it came from."""

    table: pa.Table
    names: Mapping[str, str] = field(default_factory=dict)
    """Our column name to the user's; a column that is not listed has our name."""

    def label(self, name: str) -> str:
        """How an error message calls the column ``name``."""
        theirs = self.names.get(name, name)
        return f"column {theirs!r}" if theirs == name else f"column {theirs!r} ({name})"

    def column(self, name: str, *, reader: str | None = None) -> pa.ChunkedArray:
        """The column ``name``, dictionaries decoded; :class:`DataError` where there is none.

        ``reader`` is the feature that needs it, for the message.
        """
        if name not in self.table.column_names:
            ours_to_theirs = (self.names.get(c, c) for c in self.table.column_names)
            why = f", which feature {reader!r} reads" if reader else ""
            raise DataError(
                f"missing {self.label(name)}{why}; the table has:"
                f" {', '.join(ours_to_theirs) or 'none'}."
                " Rename a column, or map it to the name above"
            )
        if self.table.column_names.count(name) > 1:
            raise DataError(f"{self.label(name)} is there more than once; rename or drop one")
        column = self.table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column

    def without_nulls(self, name: str) -> pa.ChunkedArray:
        """The column ``name``; :class:`DataError` with the first row that is null."""
        column = self.column(name)
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise DataError(
                f"{self.label(name)}: null in {self.row(row)}, {column.null_count} such rows;"
                " fill or drop them"
            )
        return column

    def row(self, row: int) -> str:
        """How an error message calls a row: its number in the user's order, and its id."""
        if "transaction_id" not in self.table.column_names:
            return f"row {row} (the first is 0)"
        identity = self.table.column("transaction_id")[row].as_py()
        return f"row {row} (the first is 0), transaction_id {identity!r}"


def identifiers(source: Source, name: str) -> pa.ChunkedArray:
    """Ids as ``string`` or ``int64``."""
    column = source.without_nulls(name)
    if pa.types.is_integer(column.type) or _is_text(column.type):
        return categories(source, name)
    raise DataError(
        f"{source.label(name)}: ids must be text or whole numbers, got {column.type};"
        " cast the column"
    )


def categories(source: Source, name: str) -> pa.ChunkedArray:
    """Values that are only told apart, as ``string``, ``int64`` or ``bool``; nulls are kept."""
    column = source.column(name)
    if pa.types.is_integer(column.type):
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{source.label(name)}: an id or category does not fit 64 bits: {error}"
            ) from error
    if pa.types.is_boolean(column.type):
        return column
    if _is_text(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.string())
    raise DataError(
        f"{source.label(name)}: categories and keys must be text, whole numbers or true/false, got"
        f" {column.type}; cast the column"
    )


def numbers(source: Source, name: str) -> pa.ChunkedArray:
    """Numbers as ``float64`` that a model can take (float32); NaN and null are null: missing."""
    column = source.column(name)
    kind = column.type
    if not (_is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise DataError(
            f"{source.label(name)}: must be numbers or true/false, got {kind}; cast the column, or"
            " declare it a category"
        )
    column = column.cast(pa.float64(), safe=False)  # a whole number above 2**53 is rounded
    bad = pc.greater(pc.abs(column), MAX_NUMBER)  # NaN is not
    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise DataError(
            f"{source.label(name)}: must be finite and within {MAX_NUMBER:.4g}, got"
            f" {column[row].as_py()!r} in {source.row(row)}, {pc.sum(bad).as_py()} such rows;"
            " correct them, or leave them empty: missing"
        )
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def amounts(source: Source, name: str) -> pa.ChunkedArray:
    """Amounts as ``float64``, at least 0 and below :data:`MAX_AMOUNT`."""
    column = source.without_nulls(name)
    kind = column.type
    if not _is_number(kind):
        raise DataError(
            f"{source.label(name)}: amounts must be numbers, got {kind}; cast the column"
        )
    # Unsafe, because an integer above 2**53 is rounded rather than refused.
    column = column.cast(pa.float64(), safe=False)
    values = column.to_numpy()
    bad = ~((values >= 0) & (values < MAX_AMOUNT))  # NaN is neither
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{source.label(name)}: amounts must be at least 0 and below {MAX_AMOUNT:g}, got"
            f" {float(values[row])!r} in {source.row(row)}, {int(bad.sum())} such rows;"
            " correct or drop them (a refund is not a payment)"
        )
    return column


def flags(source: Source, name: str) -> pa.ChunkedArray:
    """Booleans with nulls kept, from booleans or from the whole numbers 0 and 1."""
    column = source.column(name)
    if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.bool_())
    if not pa.types.is_integer(column.type):
        raise DataError(
            f"{source.label(name)}: must be true/false or 0/1, got {column.type}; cast the column"
        )
    allowed = pa.array([0, 1, None], column.type)
    bad = pc.invert(pc.is_in(column, value_set=allowed))
    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise DataError(
            f"{source.label(name)}: must be 0 or 1, got {column[row].as_py()} in {source.row(row)}"
        )
    return column.cast(pa.bool_())


def timestamps(source: Source, name: str) -> pa.ChunkedArray:
    """Times as ``timestamp[us, UTC]``, nulls kept; anything finer than 1 us is cut off.

    A time without a zone is taken as UTC, a date as its first instant.
    """
    column = source.column(name)
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(TIMESTAMP)
    if pa.types.is_timestamp(kind):
        _check_zone(source, name, kind.tz)
        # Unsafe only from nanoseconds, to cut off; a coarser unit may overflow and must say so.
        return _cast_or_say(source, name, column, lambda c: _to_utc(c, safe=kind.unit != "ns"))
    if pa.types.is_date(kind):
        return _cast_or_say(source, name, column, lambda c: _to_utc(c.cast(pa.timestamp("us"))))
    if _is_text(kind):
        return _cast_or_say(source, name, column.cast(pa.string()), _parse_iso)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        raise DataError(
            f"{source.label(name)}: numbers ({kind}) are ambiguous as times (seconds or"
            " milliseconds, since when?); convert the column to timestamps"
        )
    raise DataError(
        f"{source.label(name)}: must be timestamps, dates or ISO 8601 text, got {kind};"
        " convert the column"
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    )


def _check_zone(source: Source, name: str, zone: str | None) -> None:
    if zone is None or _FIXED_OFFSET.fullmatch(zone):
        return
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DataError(
            f"{source.label(name)}: unknown time zone {zone!r}; convert the column to UTC"
        ) from error


def _to_utc(column: pa.ChunkedArray, *, safe: bool = True) -> pa.ChunkedArray:
    # Arrow stores a zoned timestamp in UTC already, so this changes the unit and the zone's name.
    column = column.cast(TIMESTAMP, safe=safe)
    extent = pc.min_max(column.cast(pa.int64())).as_py()
    if extent["min"] is not None and not _FIRST <= extent["min"] <= extent["max"] <= _LAST:
        raise pa.ArrowInvalid("Python's calendar does not reach that far")
    return column


def _parse_iso(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 texts, each with or without a zone, to UTC; ``ArrowInvalid`` where unparsable."""
    column = pc.replace_substring_regex(column, r"(\.\d{6})\d+", r"\1")
    zoned = pc.match_substring_regex(column, _ZONE_AT_END)
    nothing = pa.scalar(None, pa.string())
    with_zone = pc.if_else(zoned, column, nothing).cast(TIMESTAMP)
    without_zone = pc.if_else(zoned, nothing, column).cast(pa.timestamp("us"))
    return pc.coalesce(with_zone, _to_utc(without_zone))


def _cast_or_say(
    source: Source,
    name: str,
    column: pa.ChunkedArray,
    cast: Callable[[pa.ChunkedArray], pa.ChunkedArray],
) -> pa.ChunkedArray:
    """``cast(column)``; where it fails, :class:`DataError` with the first row that does."""
    try:
        return cast(column)
    except pa.ArrowInvalid as error:
        good, bad = 0, len(column)  # the first `good` rows cast, the first `bad` rows do not
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                cast(column.slice(good, middle - good))
                good = middle
            except pa.ArrowInvalid:
                bad = middle
        raise DataError(
            f"{source.label(name)}: not a time between the years 1 and 9999:"
            f" {_shown(column[good])} in {source.row(good)}; write it as"
            " 2018-04-01T13:30:00Z"
        ) from error


def _shown(value: pa.Scalar) -> str:
    # A time that is out of bounds cannot be made a datetime to show.
    return repr(value.as_py()) if _is_text(value.type) else f"{value.value} ({value.type})"
