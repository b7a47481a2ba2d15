"""Machine code inserts into SQLite what `sqlite3` inserts, and fails where that fails."""

from __future__ import annotations

import _sqlite3
import datetime as dt
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_connector as dc
from data_connector import sqlite
from data_connector.native_code import LIBRARY
from data_connector.sqlite_inserts import ROWS_A_STATEMENT, Insert, row_writer
from data_connector.sqlite_library import with_handle

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int16(): st.integers(-5, 5),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.one_of(st.text(max_size=20), st.sampled_from(["", "a\0b", "\U0001f600"])),
    pa.binary(): st.binary(max_size=20),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("us", "UTC"): st.datetimes(timezones=st.just(dt.UTC)),
    pa.decimal128(9, 2): st.decimals(-1000, 1000, places=2),
    pa.decimal128(38, 20): st.decimals(-1000, 1000, places=20),
}


@pytest.fixture(autouse=True)
def needs_machine_code() -> None:
    assert LIBRARY.exists()
    if not hasattr(_sqlite3, "__file__"):
        pytest.skip("this Python has its SQLite inside, where machine code cannot call it")
    assert row_writer() is not None


def stored(path: Path, table: pa.Table) -> list[tuple[Any, ...]]:
    """What SQLite has after a load, with what it is stored as."""
    path.unlink(missing_ok=True)
    dc.load(table, f"sqlite:///{path}", table="rows")
    both = ", ".join(f"{name}, typeof({name})" for name in table.column_names)
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT {both} FROM rows ORDER BY rowid").fetchall()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_both_ways_store_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    few = {kind: data.draw(st.lists(st.none() | VALUES[kind], min_size=1)) for kind in set(kinds)}
    n_rows = data.draw(st.integers(0, 3 * ROWS_A_STATEMENT))
    skipped = data.draw(st.integers(0, 9))  # so that arrays begin in the middle of a byte
    columns = [
        pa.array([few[kind][row % len(few[kind])] for row in range(skipped + n_rows)], kind)
        for kind in kinds
    ]
    table = pa.table(columns, names=list("abcd"[: len(kinds)])).slice(skipped)
    by_machine_code = stored(tmp_path / "data.db", table)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "row_writer", lambda: None)
        assert stored(tmp_path / "data.db", table) == by_machine_code
    assert len(by_machine_code) == n_rows


def test_loads_and_upserts_go_by_machine_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sqlite, "_insert_by_sqlite3")
    path = tmp_path / "data.db"
    first = pa.table({"id": range(200), "word": ["old"] * 200})
    later = pa.table({"id": range(100, 300), "word": ["new"] * 200})
    for table in (first, later):
        dc.load(table, f"sqlite:///{path}", table="rows", if_exists="upsert", key=["id"])
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT id, word FROM rows ORDER BY id").fetchall()
    assert found == [(number, "old" if number < 100 else "new") for number in range(300)]


def test_a_row_that_is_refused_is_told_of_as_sqlite3_does(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    writer = row_writer()
    assert writer is not None
    connection, handle = with_handle(lambda: sqlite3.connect(path, isolation_level=None))
    assert handle is not None
    with closing(connection):
        connection.execute("CREATE TABLE rows (a INTEGER CHECK (a < 120))")
        with closing(Insert(writer, handle, "INSERT INTO rows VALUES ", 1)) as insert:
            insert.rows([pa.array(range(110))])
            with pytest.raises(sqlite3.DatabaseError, match="CHECK constraint failed") as caught:
                insert.rows([pa.array(range(60, 160))])
            assert caught.value.sqlite_errorname == "SQLITE_CONSTRAINT"
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (160,)
        with pytest.raises(sqlite3.DatabaseError, match="no such table: others"):
            Insert(writer, handle, "INSERT INTO others VALUES ", 1)


def test_each_connection_has_its_own_handle_whoever_opens_others(tmp_path: Path) -> None:
    def fill(number: int) -> int:
        table = pa.table({"number": [number] * 100})
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        for _ in range(5):
            dc.load(table, url, table="rows", if_exists="append")
        return dc.fetch(url).read_all()["number"].to_pylist().count(number)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(fill, range(16))) == [500] * 16


def test_a_connection_that_is_opened_at_the_very_end_does_no_harm(tmp_path: Path) -> None:
    program = f"""if True:
        import sqlite3
        import sys
        import pyarrow as pa
        import data_connector as dc

        class Late:
            def __del__(self, connect=sqlite3.connect):
                connect({str(tmp_path / "late.db")!r}).close()

        sys.late = Late()  # which Python lets go when modules are gone
        dc.load(pa.table({{"a": [1]}}), "sqlite:///{tmp_path / "data.db"}", table="rows")
        """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert (tmp_path / "late.db").exists()
