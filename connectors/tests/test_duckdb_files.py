"""DuckDB files: their own types, their locks, and what happens when things break."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import data_connector as dc


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.duckdb"


@pytest.fixture
def url(path: Path) -> str:
    return f"duckdb:///{path}"


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last statement, past the library."""
    with duckdb.connect(path) as connection:
        for statement in statements:
            rows: list[tuple[object, ...]] = connection.execute(statement).fetchall()
        return rows


def test_integers_and_nan_stay_what_they_are(url: str) -> None:
    kinds = [pa.int8(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    table = pa.table({str(kind): pa.array([None, 0, 127], kind) for kind in kinds})
    dc.load(table, url, table="rows")
    assert dc.fetch(url).read_all() == table
    dc.load(pa.table({"a": [float("nan")]}), url, table="floats")
    assert str(dc.fetch(url, table="floats").read_all().to_pydict()) == "{'a': [nan]}"


def test_what_is_too_wide_is_refused(url: str) -> None:
    wide = pa.table({"a": pa.array([Decimal(1)], pa.decimal256(39, 0))})
    with pytest.raises(dc.SchemaMismatchError, match="'a'.*decimal256"):
        dc.load(wide, url, table="rows")
    nanoseconds = pa.table({"a": pa.array([1], pa.timestamp("ns"))})
    with pytest.raises(dc.SchemaMismatchError, match="'a'.*lose data"):
        dc.load(nanoseconds, url, table="rows")
    assert dc.list_tables(url) == []


def test_names_that_differ_by_case_are_refused(url: str) -> None:
    with pytest.raises(dc.SchemaMismatchError, match="'a'.*no case"):
        dc.load(pa.table({"a": [1], "A": [2]}), url, table="rows")


def test_times_are_instants_whatever_the_zone(path: Path, url: str) -> None:
    run(
        path,
        "SET TimeZone = 'Asia/Kathmandu'",
        "CREATE TABLE rows AS SELECT '2018-04-01 05:45:00'::TIMESTAMPTZ AS at",
    )
    midnight = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
    expected = pa.table({"at": pa.array([midnight], pa.timestamp("us", "UTC"))})
    assert dc.fetch(url).read_all() == expected
    query = 'SELECT CAST("at" AS TEXT) AS word FROM rows'
    assert dc.fetch(url, query=query).read_all().to_pylist() == [{"word": "2018-04-01 00:00:00+00"}]


def test_views_can_be_read(path: Path, url: str) -> None:
    run(path, "CREATE TABLE rows AS SELECT range AS a FROM range(3)")
    run(path, "CREATE VIEW few AS SELECT a FROM rows LIMIT 1")
    assert dc.list_tables(url) == ["few", "rows"]
    assert dc.fetch(url, table="few").read_all() == pa.table({"a": [0]})


@pytest.mark.parametrize(
    "query", ["DELETE FROM rows", "COPY rows TO 'rows.csv'", "SELECT 1; SELECT 2", ""]
)
def test_a_query_is_one_select(
    path: Path, url: str, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(path, "CREATE TABLE rows (a INTEGER)")
    with pytest.raises(dc.QueryError, match="one SELECT"):
        dc.fetch(url, query=query)
    assert not (tmp_path / "rows.csv").exists()


def test_a_query_that_fails_later_is_an_error(path: Path, url: str) -> None:
    run(path, "CREATE TABLE rows AS SELECT range AS a FROM range(100000)")
    query = "SELECT CASE WHEN a < 99999 THEN a ELSE CAST('word' AS INTEGER) END AS b FROM rows"
    with pytest.raises(dc.QueryError, match="Could not convert string 'word'"):
        dc.fetch(url, query=query, batch_rows=10).read_all()


def test_a_constraint_that_refuses_a_row_refuses_all(path: Path, url: str) -> None:
    run(path, "CREATE TABLE rows (a BIGINT PRIMARY KEY)", "INSERT INTO rows VALUES (2)")
    with pytest.raises(dc.WriteError, match="none was written: Duplicate key"):
        dc.load(pa.table({"a": [1, 2]}), url, table="rows", if_exists="append")
    assert run(path, "SELECT a FROM rows") == [(2,)]


def test_reading_makes_no_file(path: Path, url: str) -> None:
    with pytest.raises(dc.SourceNotFoundError, match="check the path"):
        dc.fetch(url)
    assert not path.exists()
    with pytest.raises(dc.SourceNotFoundError, match="no folder"):
        dc.load(pa.table({"a": [1]}), "duckdb:////no/folder/data.duckdb", table="rows")
    with pytest.raises(dc.UnsupportedSourceError, match="needs a file"):
        dc.list_tables("duckdb://")


def test_a_file_that_is_no_database_is_an_error_at_once(path: Path, url: str) -> None:
    path.write_bytes(b"transaction_id,amount\n1,2\n" * 1000)
    with pytest.raises(dc.CorruptSourceError, match="not a valid DuckDB"):
        dc.fetch(url, table="rows")
    with pytest.raises(dc.CorruptSourceError, match="not a valid DuckDB"):
        dc.load(pa.table({"a": [1]}), url, table="rows")


def test_a_database_that_is_read_cannot_be_written_meanwhile(url: str) -> None:
    dc.load(pa.table({"a": range(1000)}), url, table="rows")
    with dc.fetch(url, batch_rows=10) as reader:
        reader.read_next_batch()
        with pytest.raises(dc.SourceUnreachableError, match="in use.*let it end"):
            dc.load(pa.table({"a": [1]}), url, table="rows", if_exists="append")
    assert dc.load(pa.table({"a": [1]}), url, table="rows", if_exists="append") == 1


WRITE_FROM_ELSEWHERE = """
import sys
import pyarrow as pa
import data_connector as dc
try:
    dc.load(pa.table({"a": [1]}), sys.argv[1], table="rows", if_exists="append")
except dc.SourceUnreachableError as error:
    print(error)
"""


def test_nor_by_another_process(url: str, python: Callable[..., str]) -> None:
    dc.load(pa.table({"a": range(1000)}), url, table="rows")
    with dc.fetch(url, batch_rows=10) as reader:
        reader.read_next_batch()
        assert "is in use" in python(WRITE_FROM_ELSEWHERE, url)


LOAD_HALF = """
import sys
import pyarrow as pa
import data_connector as dc

schema = pa.schema([("n", pa.int64())])

def batches():
    yield pa.record_batch([pa.array(range(500_000))], schema=schema)
    stop_here()

dc.load(
    pa.RecordBatchReader.from_batches(schema, batches()),
    sys.argv[1], table="rows", if_exists=sys.argv[2],
)
"""


@pytest.mark.parametrize("if_exists", ["fail", "append", "replace"])
def test_a_killed_load_leaves_what_was_there(
    url: str, if_exists: str, killed: Callable[..., None]
) -> None:
    before = pa.table({"n": [1, 2, 3]})
    if if_exists != "fail":
        dc.load(before, url, table="rows")
    killed(LOAD_HALF, url, if_exists)
    if if_exists == "fail":
        assert dc.list_tables(url) == []
    else:
        assert dc.fetch(url).read_all() == before


FILL_DISK = """
import pyarrow as pa
import data_connector as dc

dc.load(pa.table({"n": range(1000)}), "duckdb:///data.duckdb", table="rows")
try:
    table = pa.table({"n": pa.array(range(1_000_000)), "word": list(map(str, range(1_000_000)))})
    dc.load(table, "duckdb:///data.duckdb", table="more")
except dc.DiskFullError as error:
    print(error)
print(dc.list_tables("duckdb:///data.duckdb"))
print(dc.fetch("duckdb:///data.duckdb", table="rows").read_all().num_rows)
"""


def test_a_full_disk_is_named_and_nothing_is_kept(
    tmp_path: Path, small_disk: Callable[[str], str]
) -> None:
    message, tables, rows = small_disk(FILL_DISK).splitlines()
    assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
    assert (tables, rows) == ("['rows']", "1000")


FETCH = """
import sys
import data_connector as dc

def peak():  # bytes
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

url = sys.argv[1]
dc.fetch(url, batch_rows=1000).read_next_batch()
before, rows = peak(), 0
reader = dc.fetch(url, batch_rows=2_000)
if sys.argv[2] == "whole":
    rows = reader.read_all().num_rows
else:
    rows = sum(batch.num_rows for batch in reader)
print(rows, peak() - before)
"""


def test_memory_is_bounded_and_not_by_the_table(
    path: Path, url: str, python: Callable[..., str]
) -> None:
    run(
        path,
        "CREATE TABLE rows AS SELECT range AS n, repeat(CAST(hash(range) AS TEXT), 10) AS word"
        " FROM range(1000000)",
    )
    url += "?memory_limit=50MB"
    streamed, whole = (python(FETCH, url, how).split() for how in ("stream", "whole"))
    assert streamed[0] == whole[0] == "1000000"
    assert int(streamed[1]) < 100e6
    assert int(whole[1]) > 200e6  # so the bound above is one that can be exceeded
