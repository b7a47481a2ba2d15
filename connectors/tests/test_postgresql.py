"""PostgreSQL, a real one: its own types, its refusals, and its streaming."""

from __future__ import annotations

import datetime as dt
import socket
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from tls_proxy import identity, tls_before

import data_connector as dc

Psql = Callable[[str, str], list[tuple[object, ...]]]


def with_(url: str, **parts: object) -> str:
    changed: sa.URL = sa.make_url(url).set(**parts)  # type: ignore[arg-type]
    return changed.render_as_string(hide_password=False)


def test_declared_types_are_arrow_types(postgresql: str, psql: Psql) -> None:
    psql(
        postgresql,
        "CREATE TABLE rows (a smallint, b integer, c bigint, d real, e double precision,"
        " f numeric(12, 2), g numeric(50, 10), h numeric, i boolean, j varchar(9), k char(3),"
        " l name, m bytea, n date, o timestamp, p timestamptz)",
    )
    assert dc.schema_of(postgresql).types == [
        *(pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
        *(pa.decimal128(12, 2), pa.decimal256(50, 10), pa.decimal256(76, 38)),
        *(pa.bool_(), pa.string(), pa.string(), pa.string(), pa.binary()),
        *(pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")),
    ]


def test_times_are_instants_whatever_the_server_s_zone(postgresql: str, psql: Psql) -> None:
    psql(postgresql, "ALTER ROLE fraud SET timezone = 'Asia/Kathmandu'")
    try:
        psql(postgresql, "CREATE TABLE rows AS SELECT '2018-04-01 00:00+00'::timestamptz AS at")
        midnight = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
        expected = pa.table({"at": pa.array([midnight], pa.timestamp("us", "UTC"))})
        assert dc.fetch(postgresql).read_all() == expected
        text = dc.fetch(postgresql, query="SELECT CAST(at AS text) AS text FROM rows").read_all()
        assert text["text"].to_pylist() == ["2018-04-01 00:00:00+00"]
        dc.load(expected, postgresql, table="rows", if_exists="append")
        assert psql(postgresql, "SELECT DISTINCT at AT TIME ZONE 'UTC' FROM rows") == [
            (midnight.replace(tzinfo=None),)
        ]
    finally:
        psql(postgresql, "ALTER ROLE fraud RESET timezone")


def test_numbers_without_a_precision_are_exact(postgresql: str) -> None:
    read = dc.fetch(postgresql, query="SELECT avg(n) AS mean FROM generate_series(1, 2) n")
    assert read.read_all().to_pydict() == {"mean": [Decimal("1.5")]}


@pytest.mark.parametrize("value", ["'NaN'::numeric", "'Infinity'::numeric", "1e-39::numeric"])
def test_a_number_that_arrow_cannot_hold_names_column_and_row(postgresql: str, value: str) -> None:
    query = f"SELECT 1::numeric AS amount UNION ALL SELECT {value}"
    with pytest.raises(dc.SchemaMismatchError, match="column 'amount', row 2"):
        dc.fetch(postgresql, query=query).read_all()


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::date",
        "'-infinity'::timestamp",
        "'infinity'::timestamptz",
        "'294276-12-31'::timestamp",
    ],
)
def test_a_time_that_arrow_cannot_hold_names_column_and_row(postgresql: str, value: str) -> None:
    query = f"SELECT NULL AS at UNION ALL SELECT {value}"
    with pytest.raises(
        dc.SchemaMismatchError, match="column 'at', row 2: a time does not .* infinite"
    ):
        dc.fetch(postgresql, query=query).read_all()


def test_times_beyond_python_s_calendar_are_exact(postgresql: str) -> None:
    query = (
        "SELECT day, CAST(day - '1970-01-01'::date AS int) AS days, at,"
        " CAST(1e6 * extract(epoch FROM at) AS bigint) AS microseconds"
        " FROM (VALUES ('4714-11-24 BC'::date, '294246-12-31'::timestamp)) AS extremes (day, at)"
    )
    read = dc.fetch(postgresql, query=query).read_all()
    assert read["day"].cast(pa.int32()) == read["days"]
    assert read["at"].cast(pa.int64()) == read["microseconds"]


def test_an_oid_has_no_sign(postgresql: str) -> None:
    read = dc.fetch(postgresql, query="SELECT 4294967295::oid AS a, 7::bigint AS b").read_all()
    assert read.to_pylist() == [{"a": 2**32 - 1, "b": 7}]


def test_a_query_that_fails_after_its_first_rows_is_a_query_s_error(postgresql: str) -> None:
    query = "SELECT 1 / (1000000 - n) AS a FROM generate_series(1, 1000000) n"
    reader = dc.fetch(postgresql, query=query, batch_rows=10)
    with pytest.raises(dc.QueryError, match="refused: .*division by zero"):
        reader.read_all()


def test_a_reader_that_is_closed_early_leaves_the_server_at_once(
    postgresql: str, psql: Psql
) -> None:
    psql(postgresql, "CREATE TABLE rows AS SELECT n FROM generate_series(1, 1000000) n")
    with dc.fetch(postgresql, batch_rows=10) as reader:
        reader.read_next_batch()
    psql(postgresql, "SET lock_timeout = '5s'; DROP TABLE rows")


def test_nan_is_a_float(postgresql: str) -> None:
    table = pa.table({"a": [float("nan"), float("-inf")]})
    dc.load(table, postgresql, table="rows")
    assert str(dc.fetch(postgresql).read_all()["a"].to_pylist()) == "[nan, -inf]"


def test_a_type_that_arrow_lacks_is_an_error_once_read(postgresql: str, psql: Psql) -> None:
    psql(postgresql, "CREATE TABLE rows AS SELECT 1 AS a, '{1}'::int[] AS odd, '{}'::jsonb AS doc")
    with pytest.raises(dc.SchemaMismatchError, match=r"'odd'.*int4\[\].*columns=.*CAST"):
        dc.fetch(postgresql)
    expected = pa.table({"a": pa.array([1], pa.int32())})
    assert dc.fetch(postgresql, columns=["a"]).read_all() == expected
    cast = dc.fetch(postgresql, query="SELECT doc::text FROM rows")
    assert cast.read_all() == pa.table({"doc": ["{}"]})


def test_only_psycopg_is_taken(postgresql: str) -> None:
    assert dc.list_tables(with_(postgresql, drivername="postgresql+psycopg")) == []
    with pytest.raises(dc.UnsupportedSourceError, match=r"\+psycopg.*not \+psycopg2"):
        dc.list_tables(with_(postgresql, drivername="postgresql+psycopg2"))


def test_a_query_cannot_write(postgresql: str, psql: Psql) -> None:
    psql(postgresql, "CREATE TABLE rows (a int)")
    psql(
        postgresql,
        "CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS"
        " 'INSERT INTO rows VALUES (1) RETURNING a'",
    )
    with pytest.raises(dc.QueryError, match="read-only"):
        dc.fetch(postgresql, query="SELECT sneak()").read_all()


def test_names_that_the_server_would_cut_are_refused(postgresql: str) -> None:
    fits, cut = "ü" * 31 + "x", "ü" * 32
    dc.load(pa.table({fits: [1]}), postgresql, table=fits)
    with pytest.raises(dc.SchemaMismatchError, match="63 bytes"):
        dc.load(pa.table({"a": [1]}), postgresql, table=cut)
    with pytest.raises(dc.SchemaMismatchError, match="63 bytes"):
        dc.load(pa.table({cut: [1]}), postgresql, table="rows")
    with pytest.raises(dc.SchemaMismatchError, match="'a'.*twice"):
        dc.load(pa.table([[1], [2]], names=["a", "a"]), postgresql, table="rows")
    assert dc.list_tables(postgresql) == [fits]


def test_a_text_that_the_server_cannot_keep_refuses_all(postgresql: str) -> None:
    with pytest.raises(dc.WriteError, match="none was written.*0x00.*line 2"):
        dc.load(pa.table({"a": ["fine", "nul \0"]}), postgresql, table="rows")
    assert dc.list_tables(postgresql) == []


def test_a_constraint_that_refuses_a_row_refuses_all(postgresql: str, psql: Psql) -> None:
    psql(postgresql, "CREATE TABLE rows (a bigint PRIMARY KEY)")
    psql(postgresql, "INSERT INTO rows VALUES (2)")
    with pytest.raises(dc.WriteError, match="duplicate key"):
        dc.load(pa.table({"a": [1, 2]}), postgresql, table="rows", if_exists="append")
    assert psql(postgresql, "SELECT a FROM rows") == [(2,)]


def test_a_refused_connection_is_an_error_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(dc.SourceUnreachableError, match=rf"{port}.*[Rr]efused.*check host, port"):
        dc.fetch(f"postgresql://fraud@127.0.0.1:{port}/db", table="rows")
    assert time.monotonic() - start < 5


def test_a_server_that_does_not_answer_is_given_up() -> None:
    # It accepts the connection and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(dc.SourceUnreachableError, match="timeout"):
            dc.list_tables(f"postgresql://fraud@127.0.0.1:{port}/db?connect_timeout=2")


@pytest.mark.parametrize(
    ("answer", "options", "message"),
    [
        (b"N", "sslmode=require", "server does not support SSL, but SSL was required"),
        (b"S", "sslmode=verify-full&sslrootcert=/nowhere.crt", '"/nowhere.crt" does not exist'),
    ],
)
def test_options_for_tls_reach_the_driver(answer: bytes, options: str, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def say_whether_there_is_tls() -> None:
            connection, _ = server.accept()
            with connection:
                assert len(connection.recv(8)) == 8  # a request for TLS
                connection.sendall(answer)
                connection.recv(1)  # until the client gives up

        thread = threading.Thread(target=say_whether_there_is_tls, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        with pytest.raises(dc.SourceUnreachableError, match=message):
            dc.fetch(f"postgresql://fraud:s3cr3t@127.0.0.1:{port}/db?{options}", table="rows")
        thread.join()


def test_behind_tls_rows_come_whole_and_the_certificate_is_checked(
    postgresql: str, tmp_path: Path
) -> None:
    local = sa.make_url(postgresql)
    socket_path = Path(str(local.query["host"])) / f".s.PGSQL.{local.query.get('port', 5432)}"
    right, wrong = (identity(tmp_path, address) for address in ("127.0.0.1", "127.0.0.2"))
    # Longer than a record of TLS, and shorter than one but longer than libpq's room.
    words = [str(n % 10) * size for n, size in enumerate([40_000, 12_000, 1, 16_000] * 50)]
    rows = pa.table({"n": range(len(words)), "word": words})

    def url_of(port: int, certificate: Path) -> str:
        # From the first byte on, which the proxy needs.
        options = {"sslmode": "verify-full", "sslnegotiation": "direct"}
        query = options | {"sslrootcert": str(certificate)}
        return with_(postgresql, host="127.0.0.1", port=port, query=query)

    with tls_before(socket_path, right) as port:
        dc.load(rows, url_of(port, right.certificate), table="rows")
        assert dc.fetch(url_of(port, right.certificate)).read_all() == rows
        with pytest.raises(dc.SourceUnreachableError, match="certificate verify failed"):
            dc.fetch(url_of(port, wrong.certificate))
    with (
        tls_before(socket_path, wrong) as port,
        pytest.raises(dc.SourceUnreachableError, match="does not match host name"),
    ):
        dc.fetch(url_of(port, wrong.certificate))


def test_a_missing_database_is_named(postgresql: str) -> None:
    with pytest.raises(dc.SourceNotFoundError, match="nowhere"):
        dc.list_tables(with_(postgresql, database="nowhere"))


def test_a_connection_that_is_cut_is_an_error(postgresql: str, psql: Psql) -> None:
    # More than what may have reached us before the cut.
    dc.load(pa.table({"a": range(1_000_000)}), postgresql, table="rows")
    reader = dc.fetch(postgresql, batch_rows=10)
    reader.read_next_batch()
    psql(
        with_(postgresql, database="template1"),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{sa.make_url(postgresql).database}'",
    )
    with pytest.raises(dc.SourceUnreachableError, match="terminat"):
        reader.read_all()


FETCH = """
import sys
import data_connector as dc

def peak():  # bytes
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

url, batch_rows = sys.argv[1], int(sys.argv[2])
dc.fetch(url, query="SELECT 'a'").read_all()
query = "SELECT repeat('x', 500) AS word FROM generate_series(1, 200000)"  # 100 MB
before, rows = peak(), 0
with dc.fetch(url, query=query, batch_rows=batch_rows) as reader:
    for batch in reader:
        rows += batch.num_rows
print(rows, peak() - before)
"""


def test_memory_is_bounded_by_the_batch_and_not_by_the_result(
    postgresql: str, python: Callable[..., str]
) -> None:
    streamed, whole = (python(FETCH, postgresql, size).split() for size in (2_000, 200_000))
    assert streamed[0] == whole[0] == "200000"
    assert int(streamed[1]) < 20e6
    assert int(whole[1]) > 100e6  # so the bound above is one that can be exceeded
