"""What breaks on the way to MariaDB: no row is lost or doubled, and nothing hangs."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pyarrow as pa
import pymysql
import pytest
import sqlalchemy as sa
from mysql_urls import saying
from resetting_proxy import Proxy

import data_connector as dc
from data_connector import retry
from tools.servers.mariadb import MariadbServer

Psql = Callable[[str, str], list[tuple[object, ...]]]

ROWS = 20_000
SCHEMA = pa.schema([("transaction_id", pa.int64()), ("word", pa.string())])
TABLE = pa.table([range(ROWS), [f"word {n}" for n in range(ROWS)]], schema=SCHEMA)
BEFORE = TABLE.slice(0, 10)

# More than the driver and the sockets hold: 20 MB.
LONG = "SELECT seq AS n, repeat('x', 1000) AS word FROM seq_1_to_20000"

# As the client says it, and not in SET AUTOCOMMIT.
COMMIT = b"\x03COMMIT"


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, in seconds, none of which is made."""
    pauses: list[float] = []
    monkeypatch.setattr(retry, "sleep", pauses.append)
    return pauses


def there(url: str) -> pa.Table:
    """The rows of the table, in order; each once."""
    return dc.fetch(url, query='SELECT * FROM "rows" ORDER BY transaction_id').read_all()


@pytest.mark.parametrize("after", [0, 10, 400, 1_500, 3_000, 10_000, 100_000, 300_000])
def test_a_fetch_that_is_cut_off_is_an_error_after_whole_batches(mariadb: str, after: int) -> None:
    dc.load(TABLE, mariadb, table="rows")
    batches: list[pa.RecordBatch] = []
    with (
        Proxy(mariadb, down=after) as proxy,
        pytest.raises(dc.SourceUnreachableError),
        dc.fetch(proxy.url, table="rows", batch_rows=1_000) as reader,
    ):
        batches.extend(reader)
    given = pa.Table.from_batches(batches, SCHEMA)
    assert given == TABLE.slice(0, given.num_rows)


@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
@pytest.mark.parametrize("after", [0, 10, 400, 2_000, 10_000, 300_000])
def test_a_load_that_is_cut_off_changes_nothing(mariadb: str, after: int, if_exists: str) -> None:
    dc.load(BEFORE, mariadb, table="rows", if_exists="upsert")
    with Proxy(mariadb, up=after) as proxy, pytest.raises(dc.SourceUnreachableError):
        dc.load(TABLE.slice(10), proxy.url, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
    assert there(mariadb) == BEFORE


@pytest.mark.parametrize("after", [0, 400, 10_000, 300_000])
@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
def test_a_table_that_is_cut_off_is_loaded_again_and_each_row_is_there_once(
    mariadb: str, after: int, if_exists: str, no_pauses: list[float]
) -> None:
    dc.load(BEFORE, mariadb, table="rows", if_exists="upsert")
    data = TABLE if if_exists != "append" else TABLE.slice(10)
    with Proxy(mariadb, up=after, cuts=2) as proxy:
        dc.load(data, proxy.url, table="rows", if_exists=if_exists, retries=2)  # type: ignore[arg-type]
    assert there(mariadb) == TABLE
    assert no_pauses == [0.5, 1.0]


def test_an_upsert_that_is_cut_off_before_its_commit_changes_nothing(mariadb: str) -> None:
    dc.load(BEFORE, mariadb, table="rows", if_exists="upsert")
    # The last statement before it drops the staging table, which must not end the transaction.
    with Proxy(mariadb, unanswered=b"DROP T") as proxy, pytest.raises(dc.SourceUnreachableError):
        dc.load(TABLE, proxy.url, table="rows", if_exists="upsert")
    assert there(mariadb) == BEFORE


# A new table is there by a RENAME, the others' rows by a COMMIT.
@pytest.mark.parametrize(("if_exists", "last"), [("fail", b"RENAME TABLE"), ("append", COMMIT)])
def test_rows_whose_last_statement_got_no_answer_are_not_loaded_again_blindly(
    mariadb: str, if_exists: str, last: bytes, no_pauses: list[float]
) -> None:
    if if_exists == "append":
        dc.load(SCHEMA.empty_table(), mariadb, table="rows")
    with (
        Proxy(mariadb, unanswered=last) as proxy,
        pytest.raises(dc.CommitUnknownError, match="all of the rows or none.*look before"),
    ):
        dc.load(TABLE, proxy.url, table="rows", if_exists=if_exists, retries=9)  # type: ignore[arg-type]
    assert no_pauses == []
    assert there(mariadb) == TABLE  # it was done, and to try again would have doubled it


@pytest.mark.parametrize(
    ("if_exists", "last"),
    [("replace", b"RENAME TABLE"), ("replace", b"DROP TABLE"), ("upsert", COMMIT)],
)
def test_rows_whose_last_statement_got_no_answer_are_loaded_again_where_that_changes_nothing(
    mariadb: str, if_exists: str, last: bytes, no_pauses: list[float]
) -> None:
    dc.load(BEFORE, mariadb, table="rows", if_exists="upsert")
    with Proxy(mariadb, unanswered=last, cuts=1) as proxy:
        loaded = dc.load(TABLE, proxy.url, table="rows", if_exists=if_exists, retries=1)  # type: ignore[arg-type]
    assert loaded == ROWS
    # The old table's end is of no concern to the load.
    assert len(no_pauses) == (last != b"DROP TABLE")
    assert there(mariadb) == TABLE


def test_a_fetch_is_tried_again_until_its_first_batch(mariadb: str, no_pauses: list[float]) -> None:
    dc.load(TABLE, mariadb, table="rows")
    with (
        Proxy(mariadb, down=1_500, cuts=2) as proxy,
        dc.fetch(proxy.url, table="rows", batch_rows=1_000, retries=2) as reader,
    ):
        assert reader.read_all() == TABLE
    assert no_pauses == [0.5, 1.0]


def test_a_fetch_that_has_given_out_rows_is_not_tried_again(
    mariadb: str, no_pauses: list[float]
) -> None:
    with Proxy(mariadb, down=15_000_000) as proxy:
        reader = dc.fetch(proxy.url, query=LONG, batch_rows=1_000, retries=9)
        with pytest.raises(dc.SourceUnreachableError):
            reader.read_all()
    assert no_pauses == []


def test_a_wrong_password_is_not_tried_again(mariadb: str, no_pauses: list[float]) -> None:
    wrong = sa.make_url(mariadb).set(password="s3cr3t").render_as_string(hide_password=False)
    with pytest.raises(dc.AccessDeniedError, match="Access denied.*check user") as caught:
        dc.load(BEFORE, wrong, table="rows", retries=9)
    assert "s3cr3t" not in str(caught.value)
    assert no_pauses == []


def test_a_refused_connection_is_an_error_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, and not listened to
        url = f"mysql://fraud:s3cr3t@127.0.0.1:{probe.getsockname()[1]}/db"
        start = time.monotonic()
        with pytest.raises(dc.SourceUnreachableError, match="refused.*check host, port") as caught:
            dc.fetch(url, table="rows")
    assert time.monotonic() - start < 5
    assert "s3cr3t" not in str(caught.value)


def test_a_server_that_does_not_answer_is_given_up() -> None:
    # It accepts the connection and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(dc.SourceUnreachableError, match="timed out"):
            dc.list_tables(f"mysql://fraud@127.0.0.1:{port}/db?connect_timeout=1")


def test_options_for_tls_reach_the_driver(mariadb: str) -> None:
    with Proxy(mariadb) as proxy, pytest.raises(dc.SourceUnreachableError, match="No such file"):
        dc.list_tables(f"{proxy.url}?ssl_ca=/nowhere.crt")
    # The server has no TLS, and who asks for it goes without an answer rather than without TLS.
    with Proxy(mariadb) as proxy, pytest.raises(dc.SourceUnreachableError, match="SSL"):
        dc.list_tables(f"{proxy.url}?ssl_check_hostname=true")


@pytest.fixture
def mortal(mariadb: str, mariadb_server: MariadbServer) -> Iterator[str]:
    """The URL of an empty database of a server that may be killed."""
    yield mariadb
    mariadb_server.start()


def test_a_server_that_is_killed_breaks_the_fetch(
    mortal: str, mariadb_server: MariadbServer
) -> None:
    dc.load(TABLE, mortal, table="rows")
    reader = dc.fetch(mortal, query=LONG, batch_rows=100)
    reader.read_next_batch()
    mariadb_server.kill()
    with pytest.raises(dc.SourceUnreachableError, match="Lost connection"):
        reader.read_all()
    mariadb_server.start()
    assert dc.fetch(mortal).read_all() == TABLE


@pytest.mark.parametrize("if_exists", ["fail", "append", "replace", "upsert"])
def test_a_server_that_is_killed_in_a_load_has_each_row_once_after_the_next_try(
    mortal: str, mariadb_server: MariadbServer, if_exists: str
) -> None:
    if if_exists != "fail":
        dc.load(BEFORE, mortal, table="rows", if_exists="upsert")

    def killing() -> Iterator[pa.RecordBatch]:
        first, second = TABLE.slice(10).to_batches(max_chunksize=ROWS // 2)
        yield first
        mariadb_server.kill()
        yield second

    data = pa.RecordBatchReader.from_batches(SCHEMA, killing())
    with pytest.raises(dc.SourceUnreachableError):
        dc.load(data, mortal, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
    mariadb_server.start()
    if if_exists == "fail":
        assert dc.list_tables(mortal) == []
    else:
        assert there(mortal) == BEFORE
    again = TABLE.slice(10) if if_exists == "append" else TABLE
    dc.load(again, mortal, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
    assert there(mortal) == TABLE


def test_a_server_that_comes_back_is_found_again(
    mortal: str, mariadb_server: MariadbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "sleep", lambda _: mariadb_server.start())
    # Past the proxy PyMySQL would leave the Unix socket of a refused connection to the collector.
    with Proxy(mortal) as proxy:
        mariadb_server.kill()
        assert dc.load(TABLE, proxy.url, table="rows", retries=1) == ROWS
        mariadb_server.kill()
        assert dc.fetch(proxy.url, table="rows", retries=1).read_all() == TABLE


def driver_of(url: str) -> pymysql.Connection[pymysql.cursors.Cursor]:
    """A session past the library."""
    parts = sa.make_url(url)
    return pymysql.connect(
        user=parts.username,
        password=parts.password or "",
        database=parts.database,
        unix_socket=str(parts.query["unix_socket"]),
    )


@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
def test_a_table_that_another_transaction_holds_is_given_up(
    mariadb: str, if_exists: str, no_pauses: list[float]
) -> None:
    dc.load(BEFORE, mariadb, table="rows", if_exists="upsert")
    url = saying(mariadb, "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
    with driver_of(mariadb) as other:
        other.cursor().execute("LOCK TABLES `rows` WRITE")
        with pytest.raises(dc.SourceUnreachableError, match="another transaction.*wait_timeout"):
            dc.load(TABLE, url, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
        with pytest.raises(dc.SourceUnreachableError, match="another transaction.*wait_timeout"):
            dc.fetch(url, table="rows").read_all()
    assert there(mariadb) == BEFORE
    assert no_pauses == []


def test_a_reader_holds_its_table_and_nothing_is_replaced_under_it(
    mariadb: str, mysql: Psql
) -> None:
    dc.load(TABLE, mariadb, table="rows")
    with dc.fetch(mariadb, batch_rows=10) as reader:
        reader.read_next_batch()
        with pytest.raises(dc.SourceUnreachableError, match="another transaction"):
            dc.load(
                BEFORE,
                saying(mariadb, "SET lock_wait_timeout = 1"),
                table="rows",
                if_exists="replace",
            )
        assert reader.read_all().num_rows == ROWS - 10
    assert mysql(mariadb, "SHOW TABLES") == [("rows",)]
    assert there(mariadb) == TABLE


def test_no_lock_is_waited_for_without_end(mariadb: str) -> None:
    shown = "SELECT @@lock_wait_timeout AS it"
    assert dc.fetch(mariadb, query=shown).read_all()["it"].to_pylist() == [60]
    own = saying(mariadb, "SET lock_wait_timeout = 600")
    assert dc.fetch(own, query=shown).read_all()["it"].to_pylist() == [600]


LOAD_HALF = """
import sys
import pyarrow as pa
import data_connector as dc

schema = pa.schema([("transaction_id", pa.int64()), ("word", pa.string())])

def batches():
    yield pa.record_batch([range(10, 100_010), ["half"] * 100_000], schema=schema)
    stop_here()

dc.load(
    pa.RecordBatchReader.from_batches(schema, batches()),
    sys.argv[1], table="rows", if_exists=sys.argv[2],
)
"""


@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
def test_a_killed_load_leaves_what_was_there(
    mariadb: str, if_exists: str, killed: Callable[..., None]
) -> None:
    dc.load(BEFORE, mariadb, table="rows", if_exists="upsert")
    killed(LOAD_HALF, mariadb, if_exists)
    assert there(mariadb) == BEFORE
    assert dc.list_tables(mariadb) == ["rows"]
