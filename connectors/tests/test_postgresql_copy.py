"""What is copied into PostgreSQL is there as it was, whatever table and database it comes to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from unittest import mock

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_connector as dc

Psql = Callable[[str, str], list[tuple[object, ...]]]

ARRAYS = pa.table(
    {
        "whole": pa.array([1, None, 3, 4], pa.int32()),
        "full": pa.array([1.5, 2.5, 3.5, 4.5]),
        "text": pa.array(["not me", "a", None, "ü"]),
        "also": pa.array(["", "", "", ""]),
        "bytes": pa.array([b"", None, b"\xff\xff\xff\xff", b"x"]),
        "flag": pa.array([True, False, None, True]),
        "amount": pa.array([None, None, Decimal("-1.5"), Decimal(0)], pa.decimal128(9, 2)),
        "day": pa.array([dt.date(1999, 12, 31)] * 4),
    }
)


@pytest.mark.parametrize(
    "columns", [["full"], ["text"], ["whole"], ["day", "full"], ARRAYS.column_names]
)
def test_slices_with_and_without_nulls_come_whole(postgresql: str, columns: list[str]) -> None:
    rows = ARRAYS.select(columns).slice(1)
    assert dc.load(rows, postgresql, table="rows") == 3
    assert dc.fetch(postgresql).read_all().to_pylist() == rows.to_pylist()


@pytest.mark.parametrize(
    ("precision", "scale"),
    [(1, 0), (1, 1), (4, 4), (5, 1), (12, 2), (20, 0), (38, 9), (76, 38), (76, 76)],
)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_decimal_is_exact(
    postgresql: str, psql: Psql, precision: int, scale: int, data: st.DataObject
) -> None:
    largest = 10**precision - 1
    whole = st.integers(-largest, largest) | st.sampled_from([0, 1, -1, largest, -largest])
    numbers = data.draw(st.lists(st.none() | whole, min_size=1, max_size=8))
    values = [None if n is None else Decimal(f"{n}E-{scale}") for n in numbers]
    kind = (pa.decimal128 if precision <= 38 else pa.decimal256)(precision, scale)
    dc.load(pa.table({"n": pa.array(values, kind)}), postgresql, table="rows", if_exists="replace")
    assert [n for (n,) in psql(postgresql, "SELECT n::text FROM rows")] == [
        None if v is None else format(v, f".{scale}f") for v in values
    ]


def test_types_that_only_the_server_knows_are_left_to_it(postgresql: str, psql: Psql) -> None:
    psql(
        postgresql,
        "CREATE TABLE rows (id uuid PRIMARY KEY, doc jsonb, at timestamptz, amount numeric(9, 2),"
        " bytes bytea)",
    )
    at = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
    rows = pa.table(
        {
            "id": ["00000000-0000-0000-0000-000000000001"],
            "doc": ['{"a": "\\""}'],
            "at": pa.array([at], pa.timestamp("us", "UTC")),
            "amount": pa.array([Decimal("1.50")], pa.decimal128(9, 2)),
            "bytes": [b"\x00\xff"],
        }
    )
    for if_exists in ("append", "upsert"):
        dc.load(rows, postgresql, table="rows", if_exists=if_exists, key=["id"])  # type: ignore[arg-type]
    assert psql(postgresql, "SELECT doc->>'a', at, amount, bytes FROM rows") == [
        ('"', at, Decimal("1.50"), b"\x00\xff")
    ]
    broken = rows.set_column(0, "id", [["no uuid"]])
    with pytest.raises(dc.WriteError, match="none was written.*uuid.*column id"):
        dc.load(broken, postgresql, table="rows", if_exists="append")


def test_text_is_text_in_a_database_of_another_encoding(postgresql: str, psql: Psql) -> None:
    psql(postgresql, "CREATE DATABASE western ENCODING LATIN1 TEMPLATE template0")
    try:
        url = sa.make_url(postgresql).set(database="western")
        western = url.render_as_string(hide_password=False)
        rows = pa.table({"größe": ["ü", "é"]})
        dc.load(rows, western, table="straße")
        assert psql(western, 'SELECT length("größe"), "größe" FROM "straße"') == [
            (1, "ü"),
            (1, "é"),
        ]
        assert dc.fetch(western).read_all() == rows
        with pytest.raises(dc.WriteError, match="none was written.*LATIN1"):
            dc.load(pa.table({"größe": ["🦊"]}), western, table="straße", if_exists="append")
    finally:
        psql(postgresql, "DROP DATABASE western WITH (FORCE)")


def test_a_server_that_vanishes_is_given_up_within_a_minute(postgresql: str) -> None:
    parameters: dict[str, object] = {}

    def connect(*_: object, **given: object) -> None:
        parameters.update(given)
        raise psycopg.OperationalError("enough")

    with mock.patch.object(psycopg, "connect", connect), pytest.raises(dc.ConnectorError):
        dc.list_tables(postgresql + "&keepalives_count=2")
    waits = (parameters[f"keepalives_{name}"] for name in ("idle", "interval", "count"))
    idle, interval, count = map(int, map(str, waits))
    assert (idle, interval, count) == (30, 10, 2)
