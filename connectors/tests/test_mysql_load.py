"""Loads into a real MariaDB: what it refuses, what others see meanwhile, and what is left over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal

import pyarrow as pa
import pytest
from mysql_urls import saying

import data_connector as dc

Psql = Callable[[str, str], list[tuple[object, ...]]]

UTC = pa.timestamp("us", "UTC")
NOON = dt.datetime(2018, 4, 1, 12, tzinfo=dt.UTC)


def tables_there(url: str, mysql: Psql) -> list[object]:
    """All tables, those that the library hides too."""
    return [name for (name,) in mysql(url, "SHOW TABLES")]


def test_names_that_the_server_takes_otherwise_are_refused(mariadb: str) -> None:
    fits = "ü" * 64
    dc.load(pa.table({fits: [1]}), mariadb, table=fits)
    for name in (fits + "ü", "blank ", "🦊", ""):
        with pytest.raises(dc.SchemaMismatchError, match="1 to 64 characters"):
            dc.load(pa.table({name: [1]}), mariadb, table="t")
    with pytest.raises(dc.SchemaMismatchError, match="column 'ä': .*no case apart"):
        dc.load(pa.table({"ä": [1], "Ä": [2]}), mariadb, table="t")
    assert dc.list_tables(mariadb) == [fits]


def test_a_constraint_that_refuses_a_row_refuses_all(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE TABLE t (a bigint PRIMARY KEY)")
    mysql(mariadb, "INSERT INTO t VALUES (2)")
    with pytest.raises(dc.WriteError, match="none was written.*Duplicate entry"):
        dc.load(pa.table({"a": [1, 2]}), mariadb, table="t", if_exists="append")
    assert mysql(mariadb, "SELECT a FROM t") == [(2,)]


@pytest.mark.parametrize("value", ["toolong", "🦊"])
def test_a_text_that_a_column_cannot_keep_refuses_all(
    mariadb: str, mysql: Psql, value: str
) -> None:
    mysql(mariadb, "CREATE TABLE t (a varchar(3) CHARACTER SET latin1)")
    with pytest.raises(dc.WriteError, match="none was written"):
        dc.load(pa.table({"a": ["ü", value]}), mariadb, table="t", if_exists="append")
    assert mysql(mariadb, "SELECT * FROM t") == []


def test_a_table_that_cannot_undo_half_a_load_is_refused(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE TABLE `odd``name` (a bigint) ENGINE=MyISAM")
    data = pa.table({"a": [1]})
    with pytest.raises(dc.WriteError, match="MyISAM.*run ALTER TABLE") as refused:
        dc.load(data, mariadb, table="odd`name", if_exists="append")
    mysql(mariadb, str(refused.value).partition(": run ")[2])
    assert dc.load(data, mariadb, table="odd`name", if_exists="append") == 1


def test_a_view_is_read_and_not_loaded_into(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE TABLE t (a bigint)")
    mysql(mariadb, "CREATE VIEW v AS SELECT a FROM t")
    assert dc.list_tables(mariadb) == ["t", "v"]
    assert dc.fetch(mariadb, table="v").read_all().num_rows == 0
    for if_exists in ("append", "replace", "upsert"):
        with pytest.raises(dc.WriteError, match="'v' is a view"):
            dc.load(pa.table({"a": [1]}), mariadb, table="v", if_exists=if_exists, key=["a"])  # type: ignore[arg-type]
    assert dc.list_tables(mariadb) == ["t", "v"]


def test_a_table_that_others_refer_to_is_not_replaced(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE TABLE t (a bigint PRIMARY KEY)")
    mysql(mariadb, "CREATE TABLE child (b bigint, FOREIGN KEY (b) REFERENCES t (a))")
    with pytest.raises(dc.WriteError, match="'t' cannot be replaced.*'child'"):
        dc.load(pa.table({"a": [1]}), mariadb, table="t", if_exists="replace")
    assert dc.fetch(mariadb, table="t").read_all().num_rows == 0


def test_the_statement_that_makes_the_key_runs_in_anybody_s_session(
    mariadb: str, mysql: Psql
) -> None:
    data = pa.table({"trans`action": [1], "amount": [0.5]})
    dc.load(data, mariadb, table="my`rows")
    with pytest.raises(dc.WriteError, match="no unique index") as refused:
        dc.load(data, mariadb, table="my`rows", if_exists="upsert", key=["trans`action"])
    assert '"' not in str(refused.value)
    mysql(mariadb, str(refused.value).partition(": run ")[2])
    dc.load(data, mariadb, table="my`rows", if_exists="upsert", key=["trans`action"])
    assert dc.fetch(mariadb).read_all() == data


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("UNIQUE (other)", "no unique index on the key 'a'"),
        ("UNIQUE (a, other)", "no unique index on the key 'a'"),
        ("UNIQUE (a(2))", "no unique index on the key 'a'"),
        ("KEY (a)", "no unique index on the key 'a'"),
        ("PRIMARY KEY (a), UNIQUE mine (other)", "another unique index, 'mine'"),
    ],
)
def test_an_index_by_which_other_rows_might_be_updated_is_refused(
    mariadb: str, mysql: Psql, index: str, message: str
) -> None:
    mysql(mariadb, f"CREATE TABLE t (a varchar(9), other bigint, {index})")
    data = pa.table({"a": ["x"], "other": [1]})
    with pytest.raises(dc.WriteError, match=message):
        dc.load(data, mariadb, table="t", if_exists="upsert", key=["a"])


def test_only_rows_that_change_are_written(mariadb: str, mysql: Psql) -> None:
    """The server tells when it wrote a row, in a column that it shows on request only."""

    def written() -> list[tuple[object, ...]]:
        return mysql(mariadb, "SELECT id, at FROM t ORDER BY id")

    mysql(
        mariadb,
        "CREATE TABLE t (id bigint PRIMARY KEY, doc json, amount double, name varchar(9),"
        " at timestamp(6) INVISIBLE DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
    )
    data = pa.table(
        {
            "id": [1, 2],
            "doc": ['{"a": 1}', None],
            "amount": [0.0, None],
            "name": ["a", None],
        }
    )
    dc.load(data, mariadb, table="t", if_exists="upsert", key=["id"])
    for column, other in {"doc": '{"a":1}', "amount": None, "name": "A"}.items():
        before = written()
        assert dc.load(data, mariadb, table="t", if_exists="upsert", key=["id"]) == 2
        assert written() == before
        place = data.schema.get_field_index(column)
        data = data.set_column(place, column, pa.array([other, None], data.schema.types[place]))
        dc.load(data, mariadb, table="t", if_exists="upsert", key=["id"])
        after = written()
        assert after[0] != before[0], column
        assert after[1] == before[1], column
    assert dc.fetch(mariadb).read_all().to_pylist() == data.to_pylist()


def test_keys_that_differ_by_case_accent_or_blanks_are_different(mariadb: str) -> None:
    keys = ["a", "A", "á", "a ", "a\t", "", " "]
    data = pa.table({"k": keys, "n": range(len(keys))})
    for _ in range(2):
        dc.load(data, mariadb, table="t", if_exists="upsert", key=["k"])
    assert sorted(dc.fetch(mariadb).read_all().to_pylist(), key=lambda row: row["n"]) == (
        data.to_pylist()
    )


def test_a_key_may_be_of_any_type(mariadb: str) -> None:
    keys = {
        "whole": pa.array([1, 1], pa.uint64()),
        "money": pa.array([Decimal("1.10")] * 2, pa.decimal128(9, 2)),
        "text": pa.array(["ü", "ü"]),
        "blob": pa.array([b"\0\xff'", b"\0\xff'"]),
        "day": pa.array([NOON.date()] * 2),
        "naive": pa.array([NOON.replace(tzinfo=None)] * 2),
        "instant": pa.array([NOON, NOON + dt.timedelta(microseconds=1)], UTC),
        "flag": pa.array([True, True]),
    }
    data = pa.table(keys)
    for _ in range(2):
        dc.load(data, mariadb, table="t", if_exists="upsert", key=list(keys))
    assert dc.fetch(mariadb).read_all() == data


@pytest.mark.parametrize("mode", ["", "ANSI", "NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH"])
def test_the_server_s_sql_mode_changes_nothing(mariadb: str, mode: str) -> None:
    url = saying(mariadb, f"SET sql_mode = '{mode}'")
    data = pa.table({'a"\\': ["back\\slash", "it's", '"', "long text"], "n": [1, 2, 3, 4]})
    dc.load(data, url, table="t", if_exists="upsert", key=['a"\\'])
    assert sorted(dc.fetch(url).read_all().to_pylist(), key=str) == sorted(
        data.to_pylist(), key=str
    )
    some = dc.KeyRange(column='a"\\', start="back\\slash", stop="c")
    assert dc.fetch(url, columns=["n"], key_range=some).read_all()["n"].to_pylist() == [1]


def test_a_table_that_was_made_in_the_meantime_is_kept(mariadb: str, mysql: Psql) -> None:
    schema = pa.schema([("a", pa.int64())])

    def racing() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([[1]], schema=schema)
        assert dc.list_tables(mariadb) == []  # nobody sees what is being filled
        assert len(tables_there(mariadb, mysql)) == 1
        mysql(mariadb, "CREATE TABLE t (theirs int)")

    with pytest.raises(dc.TargetExistsError, match="'t' was made by another.*append"):
        dc.load(pa.RecordBatchReader.from_batches(schema, racing()), mariadb, table="t")
    assert tables_there(mariadb, mysql) == ["t"]
    assert dc.schema_of(mariadb).names == ["theirs"]


LOAD_HALF = """
import sys
import pyarrow as pa
import data_connector as dc

schema = pa.schema([("a", pa.int64())])

def batches():
    yield pa.record_batch([range(1000)], schema=schema)
    stop_here()

dc.load(
    pa.RecordBatchReader.from_batches(schema, batches()), sys.argv[1], table="t",
    if_exists="replace",
)
"""


def test_what_a_killed_load_left_aside_is_removed_a_day_later(
    mariadb: str, mysql: Psql, killed: Callable[..., None]
) -> None:
    data = pa.table({"a": [1]})
    dc.load(data, mariadb, table="t")
    killed(LOAD_HALF, mariadb)
    assert len(tables_there(mariadb, mysql)) == 2
    assert dc.list_tables(mariadb) == ["t"]
    assert dc.fetch(mariadb).read_all() == data
    dc.load(data, mariadb, table="t", if_exists="replace")
    assert len(tables_there(mariadb, mysql)) == 2
    # The server lets go of the dead connection's locks when it notices.
    while mysql(
        mariadb,
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
        " AND id <> CONNECTION_ID()",
    ):
        pass
    tomorrow = saying(mariadb, "SET timestamp = UNIX_TIMESTAMP() + 90000")
    dc.load(data, tomorrow, table="t", if_exists="replace")
    assert tables_there(mariadb, mysql) == ["t"]


def test_what_a_live_load_has_aside_is_not_removed(mariadb: str) -> None:
    schema = pa.schema([("a", pa.int64())])
    tomorrow = saying(mariadb, "SET timestamp = UNIX_TIMESTAMP() + 90000")

    def slow() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([[1]], schema=schema)
        dc.load(pa.table({"b": [1]}), tomorrow, table="other")
        yield pa.record_batch([[2]], schema=schema)

    dc.load(pa.RecordBatchReader.from_batches(schema, slow()), mariadb, table="t")
    assert dc.fetch(mariadb, table="t").read_all()["a"].to_pylist() == [1, 2]


def test_a_row_larger_than_the_server_takes_is_named_as_such(mariadb: str, mysql: Psql) -> None:
    ((before,),) = mysql(mariadb, "SELECT @@global.max_allowed_packet")
    mysql(mariadb, f"SET GLOBAL max_allowed_packet = {1 << 20}")
    try:
        fits = pa.table({"a": ["x" * 900_000, "y", "z" * 900_000]})
        dc.load(fits, mariadb, table="fits")
        with pytest.raises(dc.WriteError, match="a row of 1,100,002 bytes.*max_allowed_packet"):
            dc.load(pa.table({"a": ["x", "y" * 1_100_000]}), mariadb, table="t")
    finally:
        mysql(mariadb, f"SET GLOBAL max_allowed_packet = {before}")
    assert dc.fetch(mariadb).read_all() == fits


def test_more_rows_than_a_statement_holds_come_back_in_order(mariadb: str) -> None:
    table = pa.table({"n": range(200_000), "word": [f"it's {n}" for n in range(200_000)]})
    dc.load(table, mariadb, table="t")
    assert dc.fetch(mariadb).read_all() == table
