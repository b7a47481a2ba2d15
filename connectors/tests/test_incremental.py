"""What is new comes once it is committed never again, and until then again and again."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

import data_connector as dc
from data_connector.incremental import IncrementalCursor

MIDNIGHT = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "duckdb", "parquet"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty source."""
    if request.param in ("postgresql", "mariadb"):
        url: str = request.getfixturevalue(request.param)
        return url
    if request.param == "parquet":
        return str(tmp_path / "rows.parquet")
    return f"{request.param}:///{tmp_path}/data.db"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "cursor.json"


def add(source: str, values: list[object], kind: pa.DataType | None = None) -> None:
    table = pa.table({"key": pa.array(values, kind)})
    dc.load(table, source, table="rows", if_exists="append")


def new(cursor: IncrementalCursor) -> list[object]:
    keys: list[object] = cursor.fetch().read_all()["key"].to_pylist()
    return sorted(keys)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), [1, 2, 2**53 + 1, 2**53 + 2]),
        (pa.string(), ["", "Z", "a", "é"]),
        (pa.decimal128(30, 9), [Decimal(f"{n}.123456789") for n in (-10, 9, 10, 11**20)]),
        (pa.timestamp("us", "UTC"), [MIDNIGHT + n * dt.timedelta.resolution for n in range(4)]),
        (pa.date32(), [dt.date(2018, 4, day) for day in (1, 2, 10, 20)]),
    ],
)
def test_committed_rows_never_come_again(
    source: str, state: Path, kind: pa.DataType, values: list[object]
) -> None:
    add(source, [values[1], None, values[0]], kind)

    def cursor() -> IncrementalCursor:
        return IncrementalCursor(source, table="rows", column="key", state=state)

    one = cursor()
    assert new(one) == values[:2]
    assert new(cursor()) == values[:2]  # not committed yet
    one.commit()
    assert new(one) == new(cursor()) == []
    cursor_again = cursor()
    add(source, [values[3], values[2]], kind)
    assert new(cursor_again) == values[2:]
    cursor_again.commit()
    assert new(cursor()) == []
    assert json.loads(state.read_text())["type"] == str(kind)


def test_nothing_new_keeps_the_last_value(source: str, state: Path) -> None:
    add(source, [1])
    cursor = IncrementalCursor(source, table="rows", column="key", state=state)
    for _ in range(3):
        cursor.fetch().read_all()
        cursor.commit()
    add(source, [2])
    assert new(cursor) == [2]


def test_what_was_not_read_to_the_end_cannot_be_committed(source: str, state: Path) -> None:
    add(source, list(range(10)))
    cursor = IncrementalCursor(source, table="rows", column="key", state=state, batch_rows=3)
    with pytest.raises(ValueError, match="to its end before commit"):
        cursor.commit()
    with cursor.fetch() as reader:
        reader.read_next_batch()
        with pytest.raises(ValueError, match="to its end before commit"):
            cursor.commit()
    assert not state.exists()


def test_late_rows_come_within_the_lag(source: str, state: Path) -> None:
    add(source, [MIDNIGHT, MIDNIGHT + 10 * MINUTE], pa.timestamp("us", "UTC"))
    cursor = IncrementalCursor(source, table="rows", column="key", state=state, lag=5 * MINUTE)
    cursor.fetch().read_all()
    cursor.commit()
    late = [MIDNIGHT + minutes * MINUTE for minutes in (4, 5, 10)]
    add(source, late, pa.timestamp("us", "UTC"))
    # Those of 5 and 10 minutes come, the last of the first time among them; that of 4 is too late.
    assert new(cursor) == [late[1], late[2], late[2]]


CONSUME = """
import sys
import data_connector as dc
from data_connector.incremental import IncrementalCursor

source, state, target = sys.argv[1:]
cursor = IncrementalCursor(source, table="rows", column="key", state=state)
dc.load(cursor.fetch(), target)
stop_here()
cursor.commit()
"""


def test_a_killed_consumer_fetches_the_uncommitted_rows_again(
    source: str, state: Path, tmp_path: Path, killed: Callable[..., None]
) -> None:
    add(source, [1, 2])
    cursor = IncrementalCursor(source, table="rows", column="key", state=state)
    cursor.fetch().read_all()
    cursor.commit()
    before = state.read_bytes()
    add(source, [3, 4])
    killed(CONSUME, source, state, tmp_path / "target.csv")
    assert state.read_bytes() == before
    assert new(cursor) == [3, 4]


def test_a_state_of_something_else_is_refused(source: str, state: Path) -> None:
    add(source, [1])
    cursor = IncrementalCursor(source, table="rows", column="key", state=state)
    cursor.fetch().read_all()
    cursor.commit()
    other = IncrementalCursor(source, column="key", state=state)
    with pytest.raises(dc.SchemaMismatchError, match="column 'key' of table 'rows'"):
        other.fetch()
    dc.load(pa.table({"key": ["a"]}), source, table="rows", if_exists="replace")
    with pytest.raises(dc.SchemaMismatchError, match="it is string, and .* of int64: remove"):
        cursor.fetch()
    state.write_text("{}")
    with pytest.raises(dc.CorruptSourceError, match="cursor.json cannot be read.*beginning"):
        cursor.fetch()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"columns": ["a"]}, "columns must hold"), ({"lag": -1}, "lag"), ({"lag": -MINUTE}, "lag")],
)
def test_contradicting_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IncrementalCursor("rows.csv", column="key", state="state", **arguments)  # type: ignore[arg-type]
