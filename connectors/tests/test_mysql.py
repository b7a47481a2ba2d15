"""MySQL's dialect on a real MariaDB: its own types, its refusals, and its streaming."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
import pytest
import sqlalchemy as sa
from mysql_urls import saying

import data_connector as dc

Psql = Callable[[str, str], list[tuple[object, ...]]]

UTC = pa.timestamp("us", "UTC")
NOON = dt.datetime(2018, 4, 1, 12, tzinfo=dt.UTC)


def with_(url: str, **parts: object) -> str:
    changed: sa.URL = sa.make_url(url).set(**parts)  # type: ignore[arg-type]
    return changed.render_as_string(hide_password=False)


def test_declared_types_are_arrow_types(mariadb: str, mysql: Psql) -> None:
    mysql(
        mariadb,
        "CREATE TABLE t (a tinyint, b smallint unsigned, c mediumint, d int unsigned,"
        " e bigint unsigned, f float, g double, h decimal(12, 2), i decimal(65, 30) unsigned,"
        " j boolean, k bit, l bit(64), m year, n varchar(9) CHARACTER SET latin1, o char(3),"
        " p tinytext, q enum('x', 'y'), r set('x', 'y'), s json, t binary(3), u mediumblob,"
        " v date, w datetime, x datetime(6), y timestamp NULL, z timestamp(6) NULL)",
    )
    expected = [
        *(pa.int8(), pa.uint16(), pa.int32(), pa.uint32(), pa.uint64(), pa.float32()),
        *(pa.float64(), pa.decimal128(12, 2), pa.decimal256(65, 30), pa.bool_(), pa.bool_()),
        *(pa.uint64(), pa.int16(), *[pa.string()] * 6, *[pa.binary()] * 2),
        *(pa.date32(), pa.timestamp("us"), pa.timestamp("us"), UTC, UTC),
    ]
    assert dc.schema_of(mariadb).types == expected


def test_the_extremes_of_its_own_types_come_back_exactly(mariadb: str, mysql: Psql) -> None:
    mysql(
        mariadb,
        "CREATE TABLE t (big bigint unsigned, many decimal(65, 30), bits bit(12), flag bit,"
        " year year, word varchar(9) CHARACTER SET latin1, choice enum('x', 'ü'), single float)",
    )
    nines = "9" * 35 + "." + "9" * 30
    mysql(
        mariadb,
        f"INSERT INTO t VALUES (18446744073709551615, -{nines}, b'100000000001', b'1', 2155,"
        " 'größe', 'ü', 16777213), (0, NULL, 0, b'0', NULL, '', NULL, 1e-45)",
    )
    read = dc.fetch(mariadb).read_all()
    assert [tuple(row.values()) for row in read.to_pylist()] == [
        (2**64 - 1, Decimal(f"-{nines}"), 2049, True, 2155, "größe", "ü", 16_777_213.0),
        (0, None, 0, False, None, "", None, 2.0**-149),
    ]


def test_integers_without_a_sign_are_kept_as_such(mariadb: str) -> None:
    kinds = [pa.int8(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    columns = {
        str(kind): pa.array([0, 2 ** (kind.bit_width - (kind == pa.int8())) - 1, None], kind)
        for kind in kinds
    }
    dc.load(pa.table(columns), mariadb, table="t")
    assert dc.fetch(mariadb).read_all() == pa.table(columns)


def test_a_float_in_a_query_is_refused_rather_than_rounded(mariadb: str) -> None:
    dc.load(pa.table({"a": pa.array([0.1], pa.float32())}), mariadb, table="t")
    with pytest.raises(dc.SchemaMismatchError, match="column 'a': .*six digits.*AS DOUBLE"):
        dc.fetch(mariadb, query="SELECT a FROM t")
    read = dc.fetch(mariadb, query="SELECT CAST(a AS DOUBLE) AS a FROM t").read_all()
    assert read["a"].cast(pa.float32()).to_pylist() == pa.array([0.1], pa.float32()).to_pylist()


def test_times_are_instants_whatever_the_server_s_zone(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "SET GLOBAL time_zone = '+05:45'")
    try:
        mysql(mariadb, "CREATE TABLE t (at timestamp NULL)")
        mysql(mariadb, "INSERT INTO t VALUES ('2018-04-01 17:45:00')")
        expected = pa.table({"at": pa.array([NOON], UTC)})
        assert dc.fetch(mariadb).read_all() == expected
        dc.load(expected, mariadb, table="t", if_exists="append")
        assert mysql(mariadb, "SELECT DISTINCT CAST(at AS char) FROM t") == [
            ("2018-04-01 17:45:00",)
        ]
    finally:
        mysql(mariadb, "SET GLOBAL time_zone = SYSTEM")


def test_an_instant_that_a_timestamp_has_no_place_for_refuses_all(mariadb: str) -> None:
    instants = pa.table({"at": pa.array([NOON, NOON.replace(year=1900)], UTC)})
    with pytest.raises(dc.WriteError, match="none was written.*1900-04-01"):
        dc.load(instants, mariadb, table="t")
    assert dc.list_tables(mariadb) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_float_that_mysql_lacks_names_the_column(mariadb: str, value: float) -> None:
    with pytest.raises(dc.SchemaMismatchError, match="column 'b': .*no NaN and no infinity"):
        dc.load(pa.table({"a": [1], "b": [value]}), mariadb, table="t")
    assert dc.list_tables(mariadb) == []


@pytest.mark.parametrize(
    ("kind", "value"), [("boolean", "2"), ("date", "'0000-00-00'"), ("datetime", "'2018-00-00'")]
)
def test_a_value_that_arrow_cannot_hold_names_column_and_row(
    mariadb: str, mysql: Psql, kind: str, value: str
) -> None:
    mysql(mariadb, f"CREATE TABLE t (a {kind})")
    mysql(mariadb, "INSERT INTO t VALUES (NULL)")
    mysql(mariadb, f"INSERT INTO t VALUES ({value})")
    with pytest.raises(dc.SchemaMismatchError, match="column 'a', row 2: '.*' does not fit"):
        dc.fetch(mariadb).read_all()


def test_a_type_that_arrow_lacks_is_an_error_once_read(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE TABLE t (a int, odd time, place geometry)")
    mysql(mariadb, "INSERT INTO t (a, odd) VALUES (1, '-838:59:59')")
    with pytest.raises(dc.SchemaMismatchError, match="'odd'.*TIME.*columns=.*CAST"):
        dc.fetch(mariadb)
    expected = pa.table({"a": pa.array([1], pa.int32())})
    assert dc.fetch(mariadb, columns=["a"]).read_all() == expected
    cast = dc.fetch(mariadb, query="SELECT CAST(odd AS char) AS odd FROM t").read_all()
    assert cast.to_pylist() == [{"odd": "-838:59:59"}]


def test_a_reader_sees_the_database_as_it_was_at_its_start(mariadb: str, mysql: Psql) -> None:
    dc.load(pa.table({"n": range(5)}), mariadb, table="t")
    with dc.fetch(mariadb, batch_rows=1) as reader:
        mysql(mariadb, "UPDATE t SET n = n + 100")
        dc.load(pa.table({"n": [9]}), mariadb, table="t", if_exists="append")
        assert reader.read_all()["n"].to_pylist() == list(range(5))


def test_a_query_cannot_write(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE TABLE t (a int)")
    mysql(
        mariadb,
        "CREATE FUNCTION sneak() RETURNS int BEGIN INSERT INTO t VALUES (1); RETURN 1; END",
    )
    with pytest.raises(dc.QueryError, match="READ ONLY"):
        dc.fetch(mariadb, query="SELECT sneak() AS a").read_all()
    assert mysql(mariadb, "SELECT * FROM t") == []


def test_both_names_and_only_pymysql_are_taken(mariadb: str) -> None:
    for name in ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"):
        assert dc.list_tables(with_(mariadb, drivername=name)) == []
    with pytest.raises(dc.UnsupportedSourceError, match=r"\+pymysql.*not \+mysqldb"):
        dc.list_tables(with_(mariadb, drivername="mysql+mysqldb"))
    with pytest.raises(dc.UnsupportedSourceError, match="name the database"):
        dc.list_tables("mysql://fraud@host")
    with pytest.raises(dc.UnsupportedSourceError, match="no option passwd; they have.*ssl_ca"):
        dc.list_tables("mysql://fraud@host/db?passwd=s3cr3t")
    with pytest.raises(dc.UnsupportedSourceError, match="connect_timeout.*a number of seconds"):
        dc.list_tables("mysql://fraud@host/db?connect_timeout=soon")


def test_a_missing_database_is_named(mariadb: str) -> None:
    with pytest.raises(dc.SourceNotFoundError, match="nowhere"):
        dc.list_tables(with_(mariadb, database="nowhere"))


def test_a_password_may_hold_any_character(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE OR REPLACE USER fox IDENTIFIED BY 'ğ🦊'")
    mysql(mariadb, "GRANT ALL ON *.* TO fox")
    assert dc.list_tables(with_(mariadb, username="fox", password="ğ🦊")) == []
    with pytest.raises(dc.AccessDeniedError, match="check user and password") as refused:
        dc.list_tables(with_(mariadb, username="fox", password="s3cr3t🦊"))
    assert "s3cr3t" not in str(refused.value)


def test_a_query_that_takes_too_long_is_given_up(mariadb: str) -> None:
    url = saying(mariadb, "SET max_statement_time = 0.1")
    with pytest.raises(dc.QueryError, match="gave up.*max_statement_time"):
        dc.fetch(
            url, query="SELECT count(*) AS n FROM seq_1_to_1000000 AS a, seq_1_to_1000000 AS b"
        ).read_all()


def test_text_in_double_quotes_is_a_name(mariadb: str, mysql: Psql) -> None:
    mysql(mariadb, "CREATE TABLE t (country char(2))")
    mysql(mariadb, "INSERT INTO t VALUES ('DE')")
    read = dc.fetch(
        mariadb, query="""SELECT "country", `country` AS b FROM t WHERE country = 'DE'"""
    )
    assert read.read_all().to_pylist() == [{"country": "DE", "b": "DE"}]
    with pytest.raises(dc.QueryError, match="'DE'.*'single quotes'"):
        dc.fetch(mariadb, query='SELECT country FROM t WHERE country = "DE"')


def test_a_reader_that_is_closed_early_leaves_the_server_at_once(mariadb: str, mysql: Psql) -> None:
    dc.load(pa.table({"n": range(1_000_000)}), mariadb, table="t")
    with dc.fetch(mariadb, batch_rows=10) as reader:
        reader.read_next_batch()
    mysql(saying(mariadb, "SET lock_wait_timeout = 5"), "DROP TABLE t")


FETCH = """
import sys
import data_connector as dc

def peak():  # bytes
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

url, batch_rows = sys.argv[1], int(sys.argv[2])
dc.fetch(url, query="SELECT 'a'").read_all()
query = "SELECT repeat('x', 500) AS word FROM seq_1_to_200000"  # 100 MB
before, rows = peak(), 0
with dc.fetch(url, query=query, batch_rows=batch_rows) as reader:
    for batch in reader:
        rows += batch.num_rows
print(rows, peak() - before)
"""


def test_memory_is_bounded_by_the_batch_and_not_by_the_result(
    mariadb: str, python: Callable[..., str]
) -> None:
    streamed, whole = (python(FETCH, mariadb, size).split() for size in (2_000, 200_000))
    assert streamed[0] == whole[0] == "200000"
    assert int(streamed[1]) < 20e6
    assert int(whole[1]) > 100e6  # so the bound above is one that can be exceeded
