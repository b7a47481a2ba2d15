"""Rows of a range of times or keys: the same ones from every source."""

from __future__ import annotations

import datetime as dt
import itertools
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import bucket  # noqa: F401 - registers s3://
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_connector as dc
from data_connector.ranges import KeyRange

UTC = pa.timestamp("us", tz="UTC")
MIDNIGHT = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
FIRST = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
KATHMANDU = dt.timezone(dt.timedelta(hours=5, minutes=45))

Fetch = Callable[..., pa.Table]


DATABASES = ["sqlite", "postgresql", "mariadb", "duckdb"]


@pytest.fixture(params=[*DATABASES, "parquet", "csv", "s3 parquet"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty source and target."""
    if request.param in ("postgresql", "mariadb"):
        url: str = request.getfixturevalue(request.param)
        return url
    if request.param in ("sqlite", "duckdb"):
        return f"{request.param}:///{tmp_path}/data.db"
    if request.param == "s3 parquet":
        return f"s3://{tmp_path}/rows.parquet"
    return str(tmp_path / f"rows.{request.param}")


@pytest.fixture
def loaded(source: str) -> Callable[[pa.Table], Fetch]:
    """Loads a table; what fetches from it."""

    def load(data: pa.Table) -> Fetch:
        dc.load(data, source, table="rows", if_exists="replace")
        schema = {"schema": data.schema} if source.endswith(".csv") else {}
        return lambda **options: dc.fetch(source, **options, **schema).read_all()

    return load


def seconds(*offsets: float | None) -> pa.Array:
    return pa.array([None if s is None else MIDNIGHT + s * SECOND for s in offsets], UTC)


TIMES = pa.table({"n": range(6), "timestamp": seconds(0, -1, None, 0.000001, 1, 86_400)})


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (MIDNIGHT, None, [0, 3, 4, 5]),
        (None, MIDNIGHT, [1]),
        (None, MIDNIGHT + SECOND, [0, 1, 3]),
        (MIDNIGHT, MIDNIGHT + SECOND, [0, 3]),
        (MIDNIGHT + dt.timedelta(microseconds=1), MIDNIGHT + SECOND, [3]),
        (MIDNIGHT, MIDNIGHT, []),
        (MIDNIGHT.astimezone(KATHMANDU), (MIDNIGHT + SECOND).astimezone(KATHMANDU), [0, 3]),
        (FIRST, LAST, [0, 1, 3, 4, 5]),
    ],
)  # fmt: skip
def test_since_is_included_and_until_is_not(
    loaded: Callable[[pa.Table], Fetch],
    since: dt.datetime | None,
    until: dt.datetime | None,
    expected: list[int],
) -> None:
    fetch = loaded(TIMES)
    read = fetch(since=since, until=until)
    assert read.schema == TIMES.schema
    assert sorted(read["n"].to_pylist()) == expected
    # The column need not be among those asked for.
    assert sorted(fetch(since=since, until=until, columns=["n"])["n"].to_pylist()) == expected


def test_times_without_a_zone_are_utc(loaded: Callable[[pa.Table], Fetch]) -> None:
    naive = TIMES.set_column(1, "at", TIMES["timestamp"].cast(pa.timestamp("us")))
    read = loaded(naive)(since=MIDNIGHT.astimezone(KATHMANDU), time_column="at")
    assert read["n"].to_pylist() == [0, 3, 4, 5]


def test_a_range_narrows_a_query(postgresql: str, tmp_path: Path) -> None:
    for url in (postgresql, f"sqlite:///{tmp_path}/s.db", f"duckdb:///{tmp_path}/d.db"):
        dc.load(TIMES, url, table="rows")
        query = "SELECT timestamp AS at, n FROM rows WHERE n <> 4; "
        read = dc.fetch(url, query=query, time_column="at", since=MIDNIGHT, columns=["n"])
        assert sorted(read.read_all()["n"].to_pylist()) == [0, 3, 5]


def test_times_that_others_wrote_into_sqlite_are_compared_as_times(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "data.db") as connection:
        connection.executescript(
            "CREATE TABLE rows (n INTEGER, at TIMESTAMPTZ);"
            "INSERT INTO rows VALUES (0, '2018-04-01T13:59:59+14:00'),"
            "(1, '2018-04-01T14:00:00+14:00'), (2, '2018-03-31 12:00:00-12:00'),"
            "(3, '2018-04-01T00:00:01Z'), (4, '2018-04-01 00:00:00.5Z'), (5, '2018-03-31T23:59Z');"
        )
    connection.close()
    url = f"sqlite:///{tmp_path}/data.db"
    read = dc.fetch(url, since=MIDNIGHT, until=MIDNIGHT + SECOND, time_column="at").read_all()
    assert read["n"].to_pylist() == [1, 2, 4]


def test_a_naive_time_is_refused(source: str) -> None:
    naive = MIDNIGHT.replace(tzinfo=None)
    for name in ("since", "until"):
        with pytest.raises(
            ValueError, match=f"{name} must be a datetime with a zone.*got datetime"
        ):
            dc.fetch(source, **{name: naive})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="since must not lie after until"):
        dc.fetch(source, since=MIDNIGHT + SECOND, until=MIDNIGHT)


def test_a_time_column_that_is_none_is_an_error_at_once(
    loaded: Callable[[pa.Table], Fetch],
) -> None:
    fetch = loaded(TIMES.append_column("amount", pa.array([0.5] * 6)))
    with pytest.raises(dc.ColumnNotFoundError, match="'at'.*'n', 'timestamp'"):
        fetch(since=MIDNIGHT, time_column="at")
    with pytest.raises(dc.SchemaMismatchError, match="'n': it is int64, which has no place for"):
        fetch(since=MIDNIGHT, time_column="n")
    with pytest.raises(dc.SchemaMismatchError, match="'amount': double is no key"):
        fetch(since=MIDNIGHT, time_column="amount")


KEYS = pa.table(
    {
        "whole": pa.array([None, -5, 0, 7, 2**40]),
        "small": pa.array([None, -(2**15), 0, 7, 2**15 - 1], pa.int16()),
        "money": pa.array(
            [None, *map(Decimal, ("-0.05", "0.00", "7.10", "9999999999.99"))], pa.decimal128(12, 2)
        ),
        "exact": pa.array(
            [None, *map(Decimal, ("-9", "-1", "2", "10"))], pa.decimal128(30, 9)
        ),
        "text": pa.array([None, "", "Z", "a", "é"]),
        "day": pa.array([None, *(dt.date(2018, 4, d) for d in (1, 2, 10, 30))]),
        "at": seconds(None, -86_400, 0, 0.5, 86_400 * 300),
    }
)  # fmt: skip


def test_every_type_of_key_has_ranges(loaded: Callable[[pa.Table], Fetch]) -> None:
    fetch = loaded(KEYS)
    options = itertools.product([(0, 0), (0, 3), (2, 4), (3, 0)], [False, True], [False, True])
    for column, ((low, high), after_start, nulls) in itertools.product(KEYS.column_names, options):
        keys = KEYS[column].to_pylist()
        some = KeyRange(
            column=column, start=keys[low], stop=keys[high], after_start=after_start, nulls=nulls
        )
        first = low + after_start if low else 1
        expected = [*keys[:nulls], *keys[first : high or 5]]
        assert fetch(key_range=some, columns=[column])[column].to_pylist() == expected, some


def test_a_bound_beyond_the_column_s_type_is_a_bound(
    loaded: Callable[[pa.Table], Fetch],
) -> None:
    fetch = loaded(KEYS)
    assert fetch(key_range=KeyRange(column="small", stop=2**20)).num_rows == 4
    fine = KeyRange(column="money", start=Decimal("7.0999"), stop=Decimal("7.1001"))
    assert fetch(key_range=fine, columns=["money"])["money"].to_pylist() == [Decimal("7.10")]


@pytest.mark.parametrize("key", [1.5, "1", True, MIDNIGHT, 2**70])
def test_a_key_of_another_type_is_refused(loaded: Callable[[pa.Table], Fetch], key: object) -> None:
    fetch = loaded(KEYS)
    with pytest.raises(dc.SchemaMismatchError, match="'whole': it is int64"):
        fetch(key_range=KeyRange(column="whole", start=key))  # type: ignore[arg-type]


def test_a_key_is_a_value_and_never_sql(loaded: Callable[[pa.Table], Fetch]) -> None:
    evil = "'; DROP TABLE rows; -- \\' %s :x ? \" é"
    fetch = loaded(pa.table({"text": [evil, "other"]}))
    for _ in range(2):
        stop = KeyRange(column="text", start=evil, stop=evil + "a")
        assert fetch(key_range=stop).to_pylist() == [{"text": evil}]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.lists(st.none() | st.text("aAbBz_ é'", max_size=3), max_size=12),
    start=st.text("aAbBz_ é'", max_size=3),
)
def test_texts_are_ordered_by_their_bytes(
    loaded: Callable[[pa.Table], Fetch], data: list[str | None], start: str
) -> None:
    numbers = pa.array(range(len(data)), pa.int64())
    table = pa.table({"n": numbers, "text": pa.array(data, pa.string())})
    read = loaded(table)(key_range=KeyRange(column="text", start=start))
    expected = [n for n, text in enumerate(data) if text is not None and text >= start]
    assert sorted(read["n"].to_pylist()) == expected


def test_a_collation_of_the_column_s_changes_nothing(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "data.db") as connection:
        connection.execute("CREATE TABLE rows (text TEXT COLLATE NOCASE)")
        connection.execute("INSERT INTO rows VALUES ('a'), ('B'), ('b'), ('A')")
    connection.close()
    some = KeyRange(column="text", start="B", stop="b")
    read = dc.fetch(f"sqlite:///{tmp_path}/data.db", key_range=some).read_all()
    assert sorted(read["text"].to_pylist()) == ["B", "a"]


def test_row_groups_outside_of_the_range_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    days = pa.table({"n": range(1000), "timestamp": seconds(*(86_400 * n for n in range(1000)))})
    pq.write_table(days, path, row_group_size=100, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    # The first group's pages are damaged, which only their reader can find out.
    group = pq.read_metadata(path).row_group(0).column(1)
    start = group.dictionary_page_offset or group.data_page_offset
    data[start + 20 : start + group.total_compressed_size] = b"\xff" * (
        group.total_compressed_size - 20
    )
    path.write_bytes(data)
    read = dc.fetch(path, since=MIDNIGHT + dt.timedelta(days=250)).read_all()
    assert read == days.slice(250)
    with pytest.raises(dc.CorruptSourceError):
        dc.fetch(path, since=MIDNIGHT + dt.timedelta(days=50)).read_all()


def test_an_index_of_sqlite_is_used(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/data.db"
    rows = pa.table({"n": range(20_000), "timestamp": seconds(*range(20_000))})
    dc.load(rows, url, table="rows")
    with sqlite3.connect(tmp_path / "data.db") as connection:
        connection.execute("CREATE INDEX by_time ON rows (timestamp)")
        # A value that no time is: whoever reads it, fails.
        connection.execute("INSERT INTO rows VALUES (-1, '1999 or so')")
    connection.close()
    read = dc.fetch(url, since=MIDNIGHT, columns=["n"]).read_all()
    assert pc.sum(read["n"]).as_py() == sum(range(20_000))
