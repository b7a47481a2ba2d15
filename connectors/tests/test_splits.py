"""A table in parts: each row in exactly one, whatever the keys are."""

from __future__ import annotations

import datetime as dt
import pickle
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_connector as dc
from data_connector.splits import split


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "duckdb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param in ("postgresql", "mariadb"):
        url: str = request.getfixturevalue(request.param)
        return url
    return f"{request.param}:///{tmp_path}/data.db"


def numbers_in_parts(url: str, column: str, parts: int) -> list[list[int]]:
    """The numbers `n` of each part's rows."""
    ranges = split(url, table="rows", column=column, parts=parts)
    # As they come out in another process.
    ranges = pickle.loads(pickle.dumps(ranges))
    fetched = [dc.fetch(url, columns=["n"], key_range=some).read_all() for some in ranges]
    return [table["n"].to_pylist() for table in fetched]


# What a TIMESTAMP of MySQL's holds.
TIMESTAMPS = (dt.datetime(1970, 1, 2), dt.datetime(2038, 1, 18))  # noqa: DTZ001 - hypothesis' wish

kinds = st.sampled_from(
    [
        (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)),
        (pa.string(), st.text("aAbB_ é'", max_size=2)),
        (pa.timestamp("us", "UTC"), st.datetimes(*TIMESTAMPS, timezones=st.just(dt.UTC))),
        (pa.date32(), st.dates()),
        (pa.decimal128(12, 2), st.decimals(-(10**9), 10**9, places=2)),
        (pa.decimal128(30, 9), st.decimals(-100, 100, places=9)),
    ]
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), kind=kinds, parts=st.integers(1, 5))
def test_the_parts_are_the_table(
    database: str, data: st.DataObject, kind: tuple[pa.DataType, st.SearchStrategy], parts: int
) -> None:
    keys = data.draw(st.lists(st.none() | kind[1], max_size=15))
    table = pa.table({"n": pa.array(range(len(keys)), pa.int64()), "key": pa.array(keys, kind[0])})
    dc.load(table, database, table="rows", if_exists="replace")
    read = numbers_in_parts(database, "key", parts)
    assert 1 <= len(read) <= parts
    assert sorted(chain.from_iterable(read)) == list(range(len(keys)))


def test_the_parts_are_about_equal_however_the_keys_lie(database: str) -> None:
    skewed = pa.table({"n": range(1000), "key": [n**5 for n in range(1000)]})
    dc.load(skewed, database, table="rows")
    assert [len(part) for part in numbers_in_parts(database, "key", 4)] == [250] * 4


def test_rows_of_one_key_stay_together(database: str) -> None:
    table = pa.table({"n": range(100), "key": [None] * 10 + ["a"] * 60 + ["b"] * 30})
    dc.load(table, database, table="rows")
    parts = numbers_in_parts(database, "key", 50)
    assert sorted(map(len, parts)) == [10, 30, 60]


def test_rows_written_after_the_split_belong_to_a_part_too(database: str) -> None:
    dc.load(pa.table({"n": range(10)}), database, table="rows")
    ranges = split(database, column="n", parts=3)
    dc.load(pa.table({"n": [-1, 5, 10**9, None]}), database, table="rows", if_exists="append")
    read = [dc.fetch(database, key_range=some).read_all()["n"].to_pylist() for some in ranges]
    assert sorted(chain.from_iterable(read), key=str) == sorted(
        [*range(10), -1, 5, 10**9, None], key=str
    )


def test_what_cannot_be_split_is_refused(database: str, tmp_path: Path) -> None:
    dc.load(pa.table({"n": [1], "amount": [0.5]}), database, table="rows")
    with pytest.raises(ValueError, match="parts must be positive, got parts=0"):
        split(database, column="n", parts=0)
    with pytest.raises(dc.ColumnNotFoundError, match="'m'.*'n', 'amount'"):
        split(database, column="m", parts=2)
    with pytest.raises(dc.SchemaMismatchError, match="'amount': double is no key"):
        split(database, column="amount", parts=2)
    with pytest.raises(dc.TableNotFoundError, match="'other'"):
        split(database, table="other", column="n", parts=2)
    with pytest.raises(dc.UnsupportedSourceError, match="files are not split"):
        split(tmp_path / "rows.parquet", column="n", parts=2)
