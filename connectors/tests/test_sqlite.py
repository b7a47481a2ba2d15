"""SQLite: types by declaration, times as text, and what happens when things break."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

import data_connector as dc
from data_connector import sqlite
from data_connector.sqlite import declared_type

UTC = pa.timestamp("us", "UTC")
both_ways = pytest.mark.usefixtures("done_by")


@pytest.fixture(params=["machine code", "sqlite3"])
def done_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads and writes with and without machine code, which not every machine can."""
    if request.param == "sqlite3":
        monkeypatch.setattr(sqlite, "row_reader", lambda: None)
        monkeypatch.setattr(sqlite, "row_writer", lambda: None)
    elif sqlite.row_reader() is None:
        pytest.skip("this Python has its SQLite inside, where machine code cannot call it")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data 100%?#.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F').replace('#', '%23')}"


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last statement, past the library."""
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.commit()
        return rows
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("INTEGER", pa.int64()),
        ("unsigned big int", pa.int64()),
        ("VARCHAR(20)", pa.string()),
        ("clob", pa.string()),
        ("BLOB", pa.binary()),
        ("DOUBLE PRECISION", pa.float64()),
        ("FLOAT", pa.float64()),
        ("NUMERIC", pa.float64()),
        ("DECIMAL", pa.float64()),
        ("DECIMAL(10,2)", pa.decimal128(10, 2)),
        ("numeric( 10 , 2 )", pa.decimal128(10, 2)),
        ("DECIMAL_TEXT (30, 9)", pa.decimal128(30, 9)),
        ("NUMERIC(7)", pa.decimal128(7, 0)),
        ("Boolean", pa.bool_()),
        ("DATE", pa.date32()),
        ("DATETIME", pa.timestamp("us")),
        ("TIMESTAMP", pa.timestamp("us")),
        ("timestamp  with time zone", UTC),
        ("", None),
        ("JSON", None),
    ],
)
def test_a_declared_type_is_an_arrow_type(declared: str, kind: pa.DataType | None) -> None:
    assert declared_type(declared) == kind


def test_times_can_be_read_by_people_and_by_sqlite(path: Path, url: str) -> None:
    at = dt.datetime(2018, 4, 1, 0, 0, 31, 5, tzinfo=dt.UTC)
    dc.load(pa.table({"at": pa.array([at], UTC)}), url, table="rows")
    assert run(path, "SELECT at, typeof(at), datetime(at, '+1 hour') FROM rows") == [
        ("2018-04-01 00:00:31.000005Z", "text", "2018-04-01 01:00:31")
    ]


@both_ways
def test_times_of_others_are_understood(path: Path, url: str) -> None:
    run(
        path,
        "CREATE TABLE rows (naive DATETIME, at TIMESTAMPTZ, day DATE)",
        "INSERT INTO rows VALUES ('2018-04-01T00:00:31', '2018-04-01 02:00:31+02:00', NULL),"
        "('2018-04-01', '2018-04-01T00:00:31.5Z', '2018-04-01'), (NULL, NULL, NULL)",
    )
    midnight = dt.datetime(2018, 4, 1)  # noqa: DTZ001 - naive on purpose
    seconds = dt.timedelta(seconds=31)
    assert dc.fetch(url).read_all().to_pydict() == {
        "naive": [midnight + seconds, midnight, None],
        "at": [
            (midnight + seconds).replace(tzinfo=dt.UTC),
            (midnight + seconds).replace(tzinfo=dt.UTC, microsecond=500_000),
            None,
        ],
        "day": [None, midnight.date(), None],
    }


@both_ways
def test_small_decimals_are_numbers_in_sql_and_large_ones_exact_text(path: Path, url: str) -> None:
    table = pa.table(
        {
            "small": pa.array([Decimal("0.10"), Decimal("0.20")], pa.decimal128(15, 2)),
            "large": pa.array([Decimal("1E-20"), Decimal("1")], pa.decimal128(38, 20)),
        }
    )
    dc.load(table, url, table="rows")
    assert run(path, "SELECT typeof(sum(small)), typeof(max(large)) FROM rows") == [
        ("real", "text")
    ]
    assert dc.fetch(url).read_all() == table


@both_ways
@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("INTEGER", 1, "'word'"),
        ("INTEGER", 1, "1.5"),
        ("REAL", 1.5, "'word'"),
        ("REAL", 1.5, "x'00'"),
        ("NUMERIC", 1.5, 2**53 + 1),
        ("TEXT", "'a'", "x'61'"),
        ("BLOB", "x'61'", "'a'"),
        ("BOOLEAN", 1, 2),
        ("DATE", "'2018-04-01'", "'2018-04-31'"),
        ("TIMESTAMP", "'2018-04-01 00:00:00'", "'2018-04-01 00:00:00Z'"),
        ("TIMESTAMP WITH TIME ZONE", "'2018-04-01 00:00:00Z'", "'2018-04-01 00:00:00'"),
        ("TIMESTAMP", "'2018-04-01 00:00:00'", 1522540800),
        ("TIMESTAMP", "'2018-04-01'", "x'323031382d30342d3031'"),
        ("DECIMAL(5, 2)", 1.25, 1.255),
        ("DECIMAL(5, 2)", 1.25, 1000),
        ("DECIMAL(5, 2)", 1.25, "'word'"),
    ],
)
def test_a_value_that_does_not_fit_names_column_and_row(
    path: Path, url: str, declared: str, good: object, bad: object
) -> None:
    run(path, f"CREATE TABLE rows (a {declared})", f"INSERT INTO rows VALUES ({good}), (NULL)")
    run(path, f"INSERT INTO rows VALUES ({good}), ({bad}), ({good})")
    reader = dc.fetch(url, batch_rows=3)
    assert reader.read_next_batch().num_rows == 3
    with pytest.raises(dc.SchemaMismatchError, match=r"column 'a', row 4: .* does not fit") as e:
        reader.read_next_batch()
    assert (e.value.column, e.value.row) == ("a", 4)


@both_ways
def test_whole_numbers_are_floats_where_floats_are_declared(path: Path, url: str) -> None:
    run(path, "CREATE TABLE rows (a NUMERIC)", "INSERT INTO rows VALUES (1), (2.5), (NULL)")
    assert dc.fetch(url).read_all() == pa.table({"a": [1.0, 2.5, None]})


@both_ways
def test_a_query_has_the_types_of_its_columns_and_else_of_its_values(path: Path, url: str) -> None:
    run(
        path,
        "CREATE TABLE rows (id INTEGER, at TIMESTAMP WITH TIME ZONE, amount DECIMAL(9, 2))",
        "INSERT INTO rows VALUES (1, '2018-04-01 00:00:00Z', 1.5), (2, NULL, 2.25)",
    )
    query = """
        WITH big AS (SELECT * FROM rows)
        SELECT at AS "when", amount, count(*) OVER () AS n, sum(amount) OVER () AS total,
               id || '!' AS word, CASE id WHEN 2 THEN 0.5 END AS late, NULL AS empty
        FROM big ORDER BY id;
    """
    read = dc.fetch(url, query=query, batch_rows=1).read_all()
    assert read.schema == pa.schema(
        [
            ("when", UTC),
            ("amount", pa.decimal128(9, 2)),
            ("n", pa.int64()),
            ("total", pa.float64()),
            ("word", pa.string()),
            ("late", pa.float64()),
            ("empty", pa.null()),
        ]
    )
    assert read.select(["n", "total", "word", "late"]).to_pylist() == [
        {"n": 2, "total": 3.75, "word": "1!", "late": None},
        {"n": 2, "total": 3.75, "word": "2!", "late": 0.5},
    ]


def test_nan_is_refused_since_sqlite_would_make_it_null(url: str) -> None:
    with pytest.raises(dc.SchemaMismatchError, match="'amount'.*NaN"):
        dc.load(pa.table({"amount": [1.0, float("nan")]}), url, table="rows")
    assert dc.list_tables(url) == []


def test_names_that_differ_by_case_are_refused(url: str) -> None:
    with pytest.raises(dc.SchemaMismatchError, match="'a'|'A'"):
        dc.load(pa.table({"a": [1], "A": [2]}), url, table="rows")


@both_ways
def test_a_constraint_that_refuses_a_row_refuses_all(path: Path, url: str) -> None:
    run(path, "CREATE TABLE rows (a INTEGER PRIMARY KEY)", "INSERT INTO rows VALUES (2)")
    with pytest.raises(dc.WriteError, match="UNIQUE"):
        dc.load(pa.table({"a": [1, 2]}), url, table="rows", if_exists="append")
    assert run(path, "SELECT a FROM rows") == [(2,)]


@both_ways
def test_views_can_be_read(path: Path, url: str) -> None:
    run(path, "CREATE TABLE rows (a INTEGER)", "INSERT INTO rows VALUES (1), (2)")
    run(path, "CREATE VIEW few AS SELECT a FROM rows LIMIT 1")
    assert dc.list_tables(url) == ["few", "rows"]
    assert dc.fetch(url, table="few").read_all() == pa.table({"a": [1]})


def test_reading_makes_no_file(path: Path, url: str) -> None:
    with pytest.raises(dc.SourceNotFoundError, match="check the path"):
        dc.fetch(url)
    assert not path.exists()
    with pytest.raises(dc.SourceNotFoundError, match="no folder"):
        dc.load(pa.table({"a": [1]}), "sqlite:////no/folder/data.db", table="rows")
    with pytest.raises(dc.UnsupportedSourceError, match="needs a file"):
        dc.list_tables("sqlite://")


@both_ways
def test_a_file_that_is_no_database_is_an_error_at_once(path: Path, url: str) -> None:
    path.write_bytes(b"transaction_id,amount\n1,2\n" * 100)
    with pytest.raises(dc.CorruptSourceError, match="not a database"):
        dc.fetch(url, table="rows")
    with pytest.raises(dc.CorruptSourceError, match="not a database"):
        dc.load(pa.table({"a": [1]}), url, table="rows")


@both_ways
def test_a_damaged_database_is_an_error(path: Path, url: str) -> None:
    dc.load(pa.table({"a": range(10_000)}), url, table="rows")
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(dc.CorruptSourceError, match="malformed.*restore"):
        dc.fetch(url).read_all()


@both_ways
def test_a_locked_database_is_an_error_that_says_so(path: Path, url: str) -> None:
    run(path, "CREATE TABLE rows (a INTEGER)")
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(dc.SourceUnreachableError, match="in use.*timeout"):
            dc.load(pa.table({"a": [1]}), url + "?timeout=0", table="rows", if_exists="append")
    finally:
        other.close()


LOCK = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0).execute("BEGIN IMMEDIATE")
    print("free")
except sqlite3.OperationalError as error:
    print(error)
"""


@both_ways
def test_a_fetch_leaves_the_locks_of_its_process_alone(
    path: Path, url: str, python: Callable[..., str]
) -> None:
    # A second SQLite in this process, such as ADBC's, would take them away as it closes the file.
    run(path, "CREATE TABLE rows (a INTEGER)", "INSERT INTO rows VALUES (1)")
    writer = sqlite3.connect(path)
    try:
        writer.execute("INSERT INTO rows VALUES (2)")
        assert dc.fetch(url).read_all() == pa.table({"a": [1]})
        assert python(LOCK, path).strip() == "database is locked"
    finally:
        writer.close()
    assert python(LOCK, path).strip() == "free"


LOAD_HALF = """
import sys
import pyarrow as pa
import data_connector as dc

schema = pa.schema([("n", pa.int64())])

def batches():
    # More than SQLite's cache, so that rows lie in the file already, and the journal beside it.
    yield pa.record_batch([pa.array(range(500_000))], schema=schema)
    stop_here()

dc.load(
    pa.RecordBatchReader.from_batches(schema, batches()),
    sys.argv[1], table="rows", if_exists=sys.argv[2],
)
"""


@pytest.mark.parametrize("if_exists", ["fail", "append", "replace"])
def test_a_killed_load_leaves_what_was_there(
    path: Path, url: str, if_exists: str, killed: Callable[..., None]
) -> None:
    before = pa.table({"n": [1, 2, 3]})
    if if_exists != "fail":
        dc.load(before, url, table="rows")
    killed(LOAD_HALF, url, if_exists)
    assert path.stat().st_size > 1_000_000
    assert path.with_name(path.name + "-journal").exists()
    if if_exists == "fail":
        assert dc.list_tables(url) == []
    else:
        assert dc.fetch(url).read_all() == before


FILL_DISK = """
import pyarrow as pa
import data_connector as dc

dc.load(pa.table({"n": range(1000)}), "sqlite:///data.db", table="rows")
try:
    table = pa.table({"n": range(1_000_000)})
    dc.load(table, "sqlite:///data.db", table="rows", if_exists="append")
except dc.DiskFullError as error:
    print(error)
print(dc.fetch("sqlite:///data.db").read_all().num_rows)
"""


def test_a_full_disk_is_named_and_nothing_is_kept(
    tmp_path: Path, small_disk: Callable[[str], str]
) -> None:
    message, rows = small_disk(FILL_DISK).splitlines()
    assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
    assert rows == "1000"


FETCH = """
import sys
import data_connector as dc

def peak():  # bytes
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

url, batch_rows = sys.argv[1], int(sys.argv[2])
dc.fetch(url, batch_rows=1).read_next_batch()
before, rows = peak(), 0
with dc.fetch(url, batch_rows=batch_rows) as reader:
    for batch in reader:
        rows += batch.num_rows
print(rows, peak() - before)
"""


def test_memory_is_bounded_by_the_batch_and_not_by_the_table(
    path: Path, url: str, python: Callable[..., str]
) -> None:
    rows = 1_000_000
    run(
        path,
        "CREATE TABLE rows (n INTEGER, word TEXT)",
        f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) "
        "INSERT INTO rows SELECT n, 'word ' || n FROM s",
    )
    streamed, whole = (python(FETCH, url, size).split() for size in (10_000, rows))
    assert streamed[0] == whole[0] == str(rows)
    assert int(streamed[1]) < 20e6
    assert int(whole[1]) > 3 * 20e6  # so the bound above is one that can be exceeded
