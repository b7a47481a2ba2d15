"""Machine code reads from SQLite what `sqlite3` reads, and fails where that fails."""

from __future__ import annotations

import _sqlite3
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_connector as dc
from data_connector import sqlite
from data_connector.native_code import LIBRARY
from data_connector.sqlite_blocks import blocks, row_reader
from data_connector.sqlite_library import Statement

DECLARED = ["INTEGER", "REAL", "NUMERIC", "TEXT", "BLOB", "BOOLEAN", "DATE", "DECIMAL(9, 2)", ""]

values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.sampled_from([0.25, -0.0, 1e300, "2018-04-01", "word", "", "\u00e9\U0001f600", "a\0b"]),
    st.text(max_size=20),
    st.binary(max_size=20),
)


@pytest.fixture(autouse=True)
def needs_machine_code() -> None:
    assert LIBRARY.exists()
    if not hasattr(_sqlite3, "__file__"):
        pytest.skip("this Python has its SQLite inside, where machine code cannot call it")
    assert row_reader() is not None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.db"


def fill(path: Path, declared: list[str], rows: list[list[Any]]) -> None:
    """A table `rows` with columns a, b, ... of the declared types."""
    names = "abcdefghij"[: len(declared)]
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        columns = ", ".join(f"{name} {it}" for name, it in zip(names, declared, strict=True))
        connection.execute(f"CREATE TABLE rows ({columns})")
        marks = ", ".join("?" * len(declared))
        connection.executemany(f"INSERT INTO rows VALUES ({marks})", rows)


def outcome(path: Path, **options: Any) -> pa.Table | tuple[type[Exception], object, object]:
    """What a fetch gives: a table, or which error of which column and row."""
    try:
        return dc.fetch(f"sqlite:///{path}", **options).read_all()
    except dc.SchemaMismatchError as error:
        return type(error), error.column, error.row


def both_ways(path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Any]:
    """The outcomes with machine code and without."""
    by_machine_code = outcome(path, **options)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "row_reader", lambda: None)
        return [by_machine_code, outcome(path, **options)]


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_both_ways_give_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    declared = data.draw(st.lists(st.sampled_from(DECLARED), min_size=1, max_size=3))
    of_one_kind = data.draw(st.booleans())
    kinds = [
        data.draw(st.sampled_from([st.integers(-9, 9), st.floats(-9, 9), st.text(max_size=9)]))
        if of_one_kind
        else values
        for _ in declared
    ]
    row = st.tuples(*(st.one_of(st.none(), kind) for kind in kinds)).map(list)
    fill(path, declared, data.draw(st.lists(row, max_size=20)))
    by_machine_code, by_sqlite3 = both_ways(path, monkeypatch, batch_rows=4)
    assert by_machine_code == by_sqlite3


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.decimals(-(10**7), 10**7, places=2).map(float),
            st.decimals(-100, 100, places=4).map(float),
            st.integers(-(10**8), 10**8),
            st.floats(allow_nan=False),
            st.none(),
        ),
        max_size=20,
    )
)
def test_numbers_are_decimals_digit_by_digit(path: Path, numbers: list[float | None]) -> None:
    fill(path, ["DECIMAL(9, 2)"], [[number] for number in numbers])
    expected = [None if number is None else Decimal(repr(number)) for number in numbers]
    try:
        table = pa.table({"a": pa.array(expected, pa.decimal128(9, 2))})
    except pa.ArrowInvalid:
        with pytest.raises(dc.SchemaMismatchError):
            dc.fetch(f"sqlite:///{path}").read_all()
    else:
        assert dc.fetch(f"sqlite:///{path}").read_all() == table


def test_texts_and_blobs_of_any_length_go_through(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 5_000_000
    rows = [
        [str(n) * size, bytes(size), n] for n, size in enumerate([700_000] * 5 + [0, longest, 1])
    ]
    fill(path, ["TEXT", "BLOB", "INTEGER"], rows)
    read, expected = both_ways(path, monkeypatch)
    assert read == expected
    assert read.to_pydict()["a"] == [row[0] for row in rows]


def test_blocks_end_where_they_are_full(path: Path) -> None:
    fill(path, ["INTEGER", "TEXT"], [[n, str(n)] for n in range(10)])
    reader = row_reader()
    assert reader is not None
    statement = Statement(reader.sqlite, f"file:{path}", 0, "SELECT * FROM rows WHERE a >= ?", [3])
    with closing(statement):
        read = [[list(column) for column in block] for block in blocks(reader, statement, 3)]
    assert [len(numbers) for numbers, _ in read] == [3, 3, 1]
    assert [it.as_py() for numbers, _ in read for it in numbers] == list(range(3, 10))


@pytest.mark.parametrize("value", [7, 2.5, "word", b"\0\1", None, -(2**63)])
def test_what_is_bound_comes_back(path: Path, value: object) -> None:
    fill(path, ["INTEGER"], [])
    reader = row_reader()
    assert reader is not None
    statement = Statement(reader.sqlite, f"file:{path}", 0, "SELECT ?", [value])
    with closing(statement):
        (((found,),),) = blocks(reader, statement, 8)
    assert found.as_py() == value


@pytest.mark.parametrize("others", [[], [[1]], [[b"1"]]])
def test_a_text_that_is_no_utf8_is_an_error_that_names_its_column(
    path: Path, others: list[list[Any]]
) -> None:
    fill(path, [""], others)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO rows VALUES (CAST(x'ff41' AS TEXT))")
    with pytest.raises(dc.QueryError, match="column 'a' is no UTF-8"):
        dc.fetch(f"sqlite:///{path}").read_all()


def test_utf16_is_read(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "PRAGMA encoding = 'UTF-16'; CREATE TABLE rows (a TEXT);"
            "INSERT INTO rows VALUES ('\u00e9\U0001f600')"
        )
    assert dc.fetch(f"sqlite:///{path}").read_all() == pa.table({"a": ["\u00e9\U0001f600"]})


def test_an_error_in_the_middle_is_sqlites(path: Path) -> None:
    fill(path, ["INTEGER"], [[n] for n in range(10)])
    query = "SELECT CASE WHEN a < 9 THEN a ELSE abs(-9223372036854775808) END AS b FROM rows"
    with pytest.raises(dc.QueryError, match="integer overflow"):
        dc.fetch(f"sqlite:///{path}", query=query).read_all()


def test_a_writer_that_waits_for_the_reader_is_not_waited_for(path: Path) -> None:
    fill(path, ["INTEGER"], [[n] for n in range(100_000)])
    reader = dc.fetch(f"sqlite:///{path}?timeout=0", batch_rows=10)
    with closing(sqlite3.connect(path, timeout=0)) as writer:
        writer.execute("INSERT INTO rows VALUES (-1)")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.commit()  # it waits for readers from here on, and lets no other begin
        assert reader.read_all().num_rows == 100_000
        writer.commit()
    assert dc.fetch(f"sqlite:///{path}").read_all().num_rows == 100_001
