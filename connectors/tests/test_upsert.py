"""Upserts: rows by key, whatever was there, once, and all or nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_connector as dc

Run = Callable[[str], list[tuple[object, ...]]]
Psql = Callable[[str, str], list[tuple[object, ...]]]

SCHEMA = pa.schema([("transaction_id", pa.int64()), ("amount", pa.float64())])


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data.db"
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def run(url: str, psql: Psql, mysql: Psql) -> Run:
    """Runs one statement past the library."""

    def run_sqlite(statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            found = connection.execute(statement).fetchall()
            connection.commit()
            return found
        finally:
            connection.close()

    if url.startswith("sqlite"):
        return run_sqlite
    server = psql if url.startswith("postgresql") else mysql
    return lambda statement: server(url, statement)


def rows(*pairs: tuple[int | None, float]) -> pa.Table:
    ids, amounts = zip(*pairs, strict=True)
    return pa.table({"transaction_id": ids, "amount": amounts}, schema=SCHEMA)


def upsert(data: pa.Table | pa.RecordBatchReader, url: str, *key: str) -> int:
    named = {"key": key} if key else {}
    return dc.load(data, url, table="rows", if_exists="upsert", **named)  # type: ignore[arg-type]


def there(url: str) -> dict[int, float]:
    read = dc.fetch(url, table="rows").read_all()
    found = dict(zip(*(column.to_pylist() for column in read.columns), strict=True))
    assert len(found) == read.num_rows
    return found


def test_rows_of_a_known_key_are_updated_and_the_others_inserted(url: str) -> None:
    assert upsert(rows((1, 1.0), (2, 2.0)), url) == 2
    assert upsert(rows((3, 3.0), (2, 2.5)), url) == 2
    assert there(url) == {1: 1.0, 2: 2.5, 3: 3.0}


def test_the_same_upsert_again_changes_nothing(url: str) -> None:
    for _ in range(2):
        assert upsert(rows((1, 1.0), (2, 2.0)), url) == 2
        assert there(url) == {1: 1.0, 2: 2.0}


def test_only_rows_that_change_are_written(postgresql: str, psql: Psql) -> None:
    """The server gives a row another place and transaction whenever it writes it."""

    def written() -> list[tuple[object, ...]]:
        return psql(postgresql, "SELECT id, ctid::text, xmin::text FROM rows ORDER BY id")

    psql(
        postgresql,
        "CREATE TABLE rows"
        " (id bigint PRIMARY KEY, doc json, amount float, name text, paid numeric, at timestamptz)",
    )
    data = pa.table(
        {
            "id": [1, 2, 3],
            "doc": ['{"a": 1}', "[]", None],
            "amount": [0.0, float("nan"), None],
            "name": ["a", "", None],
            "paid": pa.array([1, 0, None], pa.decimal128(9, 2)),
            "at": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
        }
    )
    upsert(data, postgresql, "id")
    before = written()
    assert upsert(data, postgresql, "id") == 3
    assert written() == before
    for column, other in {"doc": "{ }", "amount": -0.0, "name": None}.items():
        place = data.schema.get_field_index(column)
        values = pa.array([other, *data[column].to_pylist()[1:]], data[column].type)
        data = data.set_column(place, column, values)
        before = written()
        assert upsert(data, postgresql, "id") == 3
        after = written()
        assert after[0] != before[0], column
        assert after[1:] == before[1:], column
    assert psql(postgresql, "SELECT doc::text, amount::text, name FROM rows WHERE id = 1") == [
        ("{ }", "-0", None)
    ]


def test_the_same_upsert_again_leaves_a_file_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "data.db"
    declared = "id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, amount REAL, paid DECIMAL(9, 2)"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE rows ({declared})")
        # By itself SQLite writes no page that stays the same, but those of an index.
        connection.execute("CREATE INDEX by_name ON rows (name)")

    def data(name: str | None) -> pa.Table:
        return pa.table(
            {
                "id": [1, 2],
                "name": pa.array([name, None], pa.string()),
                "amount": [1.0, None],
                "paid": pa.array([2, None], pa.decimal128(9, 2)),
            }
        )

    upsert(data("a"), f"sqlite:///{file}", "id")
    for name in ("a", "A", None):
        upsert(data(name), f"sqlite:///{file}", "id")
        before = file.read_bytes()
        assert upsert(data(name), f"sqlite:///{file}", "id") == 2
        assert file.read_bytes() == before
        read = dc.fetch(f"sqlite:///{file}").read_all()
        assert read["name"].to_pylist() == [name, None]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(loads=st.lists(st.dictionaries(st.integers(0, 9), st.floats(0, 9), min_size=1), min_size=1))
def test_it_does_what_updating_a_dict_does(
    url: str, run: Run, loads: list[dict[int, float]]
) -> None:
    expected: dict[int, float] = {}
    dc.load(SCHEMA.empty_table(), url, table="rows", if_exists="replace")
    index_key(url, run)
    for load in loads:
        upsert(rows(*load.items()), url)
        expected.update(load)
    assert there(url) == expected


def index_key(url: str, run: Run) -> None:
    """Run the statement that the refusal asks for."""
    with pytest.raises(dc.WriteError, match="no unique index.*'transaction_id'") as refused:
        upsert(SCHEMA.empty_table(), url)
    run(str(refused.value).partition(": run ")[2])


def test_a_table_without_an_index_on_the_key_is_refused_before_a_row_is_read(
    url: str, run: Run
) -> None:
    dc.load(rows((1, 1.0)), url, table="rows")

    def unread() -> Iterator[pa.RecordBatch]:
        pytest.fail("a row was read")
        yield

    with pytest.raises(dc.WriteError, match="CREATE UNIQUE INDEX"):
        upsert(pa.RecordBatchReader.from_batches(SCHEMA, unread()), url)
    index_key(url, run)
    assert upsert(rows((1, 1.5)), url) == 1
    assert there(url) == {1: 1.5}


def test_a_key_may_have_several_columns_and_nothing_else(url: str) -> None:
    pairs = pa.table({"customer": ["a", "a"], "day": [1, 2]})
    upsert(pairs, url, "day", "customer")
    upsert(pa.table({"customer": ["a", "b"], "day": [2, 2]}), url, "day", "customer")
    read = dc.fetch(url, query='SELECT customer, day FROM "rows" ORDER BY 1, 2').read_all()
    assert read.to_pylist() == [
        {"customer": "a", "day": 1},
        {"customer": "a", "day": 2},
        {"customer": "b", "day": 2},
    ]


def test_a_key_that_comes_twice_is_named_with_its_rows(url: str) -> None:
    upsert(rows((1, 1.0)), url)
    data = [rows((1, 2.0), (5, 2.0), (9, 2.0)), rows((9, 1.0), (5, 3.0))]
    with pytest.raises(dc.WriteError, match="transaction_id = 5 is in rows 2 and 5 of the data"):
        upsert(pa.concat_tables(data), url)
    assert there(url) == {1: 1.0}


def test_a_key_without_a_value_is_named_with_its_row(url: str) -> None:
    upsert(rows((1, 1.0)), url)
    with pytest.raises(dc.SchemaMismatchError, match="'transaction_id', row 3: NULL in the key"):
        upsert(pa.concat_tables([rows((1, 2.0), (2, 2.0)), rows((None, 1.0))]), url)
    assert there(url) == {1: 1.0}


def test_a_key_that_the_data_has_not_is_refused(url: str) -> None:
    with pytest.raises(dc.ColumnNotFoundError, match="'id' in the data.*key=.*'transaction_id'"):
        upsert(rows((1, 1.0)), url, "id")
    for key in ("transaction_id", (), ("a", "a")):
        with pytest.raises(ValueError, match="key must be"):
            dc.load(rows((1, 1.0)), url, table="rows", if_exists="upsert", key=key)


def test_an_upsert_of_other_columns_names_the_column(url: str) -> None:
    upsert(rows((1, 1.0)), url)
    with pytest.raises(dc.SchemaMismatchError, match="'amount'"):
        upsert(pa.table({"transaction_id": [1]}), url)
    with pytest.raises(dc.SchemaMismatchError, match="'amount'.*cast"):
        upsert(pa.table({"transaction_id": [1], "amount": ["1"]}), url)
    assert there(url) == {1: 1.0}


def test_an_upsert_that_breaks_off_changes_nothing(url: str) -> None:
    upsert(rows((1, 1.0)), url)

    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows((1, 2.0), (2, 2.0)).to_batches()
        raise RuntimeError("broken source")

    with pytest.raises(RuntimeError, match="broken source"):
        upsert(pa.RecordBatchReader.from_batches(SCHEMA, broken()), url)
    assert there(url) == {1: 1.0}
    assert dc.list_tables(url) == ["rows"]


def test_a_constraint_that_refuses_a_row_refuses_all(url: str, run: Run) -> None:
    run(
        'CREATE TABLE "rows" (transaction_id bigint PRIMARY KEY,'
        " amount double precision CHECK (amount > 0))"
    )
    upsert(rows((1, 1.0)), url)
    with pytest.raises(dc.WriteError, match="none was written"):
        upsert(rows((1, 2.0), (2, -1.0)), url)
    assert there(url) == {1: 1.0}


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.csv.gz"])
def test_files_refuse_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(dc.UnsupportedSourceError, match="files have no keys.*database"):
        dc.load(rows((1, 1.0)), tmp_path / name, if_exists="upsert")
    assert list(tmp_path.iterdir()) == []


FILL_DISK = """
import pyarrow as pa
import data_connector as dc

for rows in (1000, 1_000_000):
    table = pa.table({"transaction_id": range(rows), "amount": pa.repeat(float(rows), rows)})
    try:
        dc.load(table, "sqlite:///data.db", table="rows", if_exists="upsert")
    except dc.DiskFullError as error:
        print(error)
read = dc.fetch("sqlite:///data.db").read_all()
print(read.num_rows, set(read["amount"].to_pylist()))
"""


def test_a_full_disk_is_named_and_nothing_is_kept(
    tmp_path: Path, small_disk: Callable[[str], str]
) -> None:
    message, kept = small_disk(FILL_DISK).splitlines()
    assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
    assert kept == "1000 {1000.0}"
