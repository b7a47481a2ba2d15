"""No value changes on its way into a database's types."""

from __future__ import annotations

import pyarrow as pa
import pytest

from data_connector.arrow_types import (
    append_schema,
    cast_batch,
    check_years,
    decimal_type,
    holds,
    stored_type,
)
from data_connector.errors import SchemaMismatchError

US = pa.timestamp("us")
UTC = pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (pa.int8(), pa.int16()),
        (pa.uint8(), pa.int16()),
        (pa.uint16(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.uint64(), pa.decimal128(20, 0)),
        (pa.float16(), pa.float32()),
        (pa.float32(), pa.float32()),
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.binary(16), pa.binary()),
        (pa.large_binary(), pa.binary()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.date64(), pa.date32()),
        (pa.timestamp("s"), US),
        (pa.timestamp("ns", "Europe/Paris"), UTC),
        (pa.decimal256(40, 2), pa.decimal256(40, 2)),
        (pa.decimal256(20, 2), pa.decimal128(20, 2)),
        (pa.decimal128(5, -2), None),
        (pa.list_(pa.int64()), None),
        (pa.duration("us"), None),
        (pa.null(), None),
    ],
)
def test_a_type_is_stored_as_the_narrowest_that_holds_it(
    kind: pa.DataType, stored: pa.DataType | None
) -> None:
    assert stored_type(kind) == stored


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 2**64 - 1, None], pa.uint64()),
        ([-128, 127, None], pa.int8()),
        ([b"0123456789abcdef", None], pa.binary(16)),
        (["a", "b", "a", None], pa.dictionary(pa.int8(), pa.string())),
        ([0.5, None], pa.float16()),
    ],
)
def test_every_value_has_its_place_in_the_stored_type(
    values: list[object], kind: pa.DataType
) -> None:
    batch = pa.record_batch({"a": pa.array(values, kind)})
    stored = stored_type(kind)
    cast = cast_batch(batch, pa.schema([("a", stored)])).column("a")
    assert cast.type == stored
    assert cast.to_pylist() == values


def test_a_cast_that_would_lose_something_names_the_column() -> None:
    batch = pa.record_batch({"at": pa.array([1], pa.timestamp("ns"))})
    with pytest.raises(SchemaMismatchError, match="'at'.*timestamp") as caught:
        cast_batch(batch, pa.schema([("at", US)]))
    assert caught.value.column == "at"


FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # 0001-01-01, 9999-12-31


@pytest.mark.parametrize("kind", [US, UTC])
def test_years_of_four_digits_pass_and_others_do_not(kind: pa.DataType) -> None:
    check_years(pa.record_batch({"at": pa.array([FIRST, None, LAST], kind)}))
    check_years(pa.record_batch({"at": pa.array([None, None], kind)}))
    for outside in (FIRST - 1, LAST + 1):
        with pytest.raises(SchemaMismatchError, match="'at'"):
            check_years(pa.record_batch({"at": pa.array([0, outside], kind)}))


def test_days_of_other_years_do_not_pass() -> None:
    check_years(pa.record_batch({"day": pa.array([-719162, 2932896], pa.date32())}))
    for outside in (-719163, 2932897):
        with pytest.raises(SchemaMismatchError, match="'day'"):
            check_years(pa.record_batch({"day": pa.array([outside], pa.date32())}))


@pytest.mark.parametrize(
    ("target", "kind", "fits"),
    [
        (pa.int64(), pa.int32(), True),
        (pa.int32(), pa.int64(), False),
        (pa.float64(), pa.float32(), True),
        (pa.float32(), pa.float64(), False),
        (pa.float64(), pa.int64(), False),
        (pa.decimal128(12, 4), pa.decimal128(10, 2), True),
        (pa.decimal128(12, 4), pa.decimal128(11, 2), False),
        (pa.decimal128(12, 1), pa.decimal128(10, 2), False),
        (UTC, US, False),
        (pa.string(), pa.string(), True),
    ],
)
def test_a_column_takes_what_it_can_hold(
    target: pa.DataType, kind: pa.DataType, *, fits: bool
) -> None:
    assert holds(target, kind) is fits


def test_an_appended_schema_has_the_target_s_types_in_the_data_s_order() -> None:
    target = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.null())])
    data = pa.schema([("c", pa.bool_()), ("b", pa.string()), ("a", pa.int16())])
    expected = pa.schema([("c", pa.bool_()), ("b", pa.string()), ("a", pa.int64())])
    assert append_schema(data, target) == expected


def test_decimals_have_up_to_76_digits() -> None:
    assert decimal_type(38, 2) == pa.decimal128(38, 2)
    assert decimal_type(39, 2) == pa.decimal256(39, 2)
    assert decimal_type(77, 2) is None
    assert decimal_type(5, 6) is None
