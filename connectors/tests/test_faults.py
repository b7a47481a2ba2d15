"""What breaks on the way to PostgreSQL: no row is lost or doubled, and nothing hangs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from resetting_proxy import Proxy

import data_connector as dc
from data_connector import retry
from data_connector.errors import AccessDeniedError, CommitUnknownError

Psql = Callable[[str, str], list[tuple[object, ...]]]


class Server(Protocol):
    """What `server_to_kill` yields."""

    url: sa.URL

    def start(self) -> None: ...
    def kill(self) -> None: ...


ROWS = 20_000
SCHEMA = pa.schema([("transaction_id", pa.int64()), ("word", pa.string())])
TABLE = pa.table([range(ROWS), [f"word {n}" for n in range(ROWS)]], schema=SCHEMA)
BEFORE = TABLE.slice(0, 10)

# More than the drivers and the sockets hold: 20 MB.
LONG = "SELECT n, repeat('x', 1000) AS word FROM generate_series(1, 20000) n"


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, in seconds, none of which is made."""
    pauses: list[float] = []
    monkeypatch.setattr(retry, "sleep", pauses.append)
    return pauses


def there(url: str) -> pa.Table:
    """The rows of the table, in order; each once."""
    return dc.fetch(url, query="SELECT * FROM rows ORDER BY transaction_id").read_all()


@pytest.mark.parametrize("after", [0, 10, 400, 1_000, 3_000, 10_000, 100_000, 400_000])
def test_a_fetch_that_is_cut_off_is_an_error_after_whole_batches(
    postgresql: str, after: int
) -> None:
    dc.load(TABLE, postgresql, table="rows")
    batches: list[pa.RecordBatch] = []
    with (
        Proxy(postgresql, down=after) as proxy,
        pytest.raises(dc.SourceUnreachableError),
        dc.fetch(proxy.url, table="rows", batch_rows=1_000) as reader,
    ):
        batches.extend(reader)
    given = pa.Table.from_batches(batches, SCHEMA)
    assert given == TABLE.slice(0, given.num_rows)


@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
@pytest.mark.parametrize("after", [0, 10, 400, 2_000, 10_000, 300_000])
def test_a_load_that_is_cut_off_changes_nothing(
    postgresql: str, after: int, if_exists: str
) -> None:
    dc.load(BEFORE, postgresql, table="rows", if_exists="upsert")
    with Proxy(postgresql, up=after) as proxy, pytest.raises(dc.SourceUnreachableError):
        dc.load(TABLE.slice(10), proxy.url, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
    assert there(postgresql) == BEFORE


@pytest.mark.parametrize("after", [0, 400, 10_000, 300_000])
@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
def test_a_table_that_is_cut_off_is_loaded_again_and_each_row_is_there_once(
    postgresql: str, after: int, if_exists: str, no_pauses: list[float]
) -> None:
    dc.load(BEFORE, postgresql, table="rows", if_exists="upsert")
    data = TABLE if if_exists != "append" else TABLE.slice(10)
    with Proxy(postgresql, up=after, cuts=2) as proxy:
        dc.load(data, proxy.url, table="rows", if_exists=if_exists, retries=2)  # type: ignore[arg-type]
    assert there(postgresql) == TABLE
    assert no_pauses == [0.5, 1.0]


def test_a_stream_that_was_read_from_is_not_loaded_again(
    postgresql: str, no_pauses: list[float]
) -> None:
    dc.load(BEFORE, postgresql, table="rows", if_exists="upsert")
    with (
        Proxy(postgresql, up=300_000, cuts=1) as proxy,
        pytest.raises(dc.SourceUnreachableError),
    ):
        dc.load(TABLE.to_reader(), proxy.url, table="rows", if_exists="upsert", retries=9)
    assert no_pauses == []
    with Proxy(postgresql, up=10, cuts=1) as proxy:  # cut before it was read from
        dc.load(TABLE.to_reader(), proxy.url, table="rows", if_exists="upsert", retries=1)
    assert there(postgresql) == TABLE


@pytest.mark.parametrize("if_exists", ["fail", "append"])
def test_rows_whose_commit_got_no_answer_are_not_loaded_again_blindly(
    postgresql: str, if_exists: str, no_pauses: list[float]
) -> None:
    with (
        Proxy(postgresql, unanswered=b"COMMIT") as proxy,
        pytest.raises(CommitUnknownError, match="all of the rows or none.*look before.*upsert"),
    ):
        dc.load(TABLE, proxy.url, table="rows", if_exists=if_exists, retries=9)  # type: ignore[arg-type]
    assert no_pauses == []
    assert there(postgresql) == TABLE  # it was committed, and to try again would have doubled it


@pytest.mark.parametrize("if_exists", ["replace", "upsert"])
def test_rows_whose_commit_got_no_answer_are_loaded_again_where_that_changes_nothing(
    postgresql: str, if_exists: str, no_pauses: list[float]
) -> None:
    with Proxy(postgresql, unanswered=b"COMMIT", cuts=1) as proxy:
        assert dc.load(TABLE, proxy.url, table="rows", if_exists=if_exists, retries=1) == ROWS  # type: ignore[arg-type]
    assert len(no_pauses) == 1
    assert there(postgresql) == TABLE


@pytest.mark.parametrize("after", [0, 400, 3_000, 10_000])
def test_a_fetch_is_tried_again_until_its_first_batch(
    postgresql: str, after: int, no_pauses: list[float]
) -> None:
    dc.load(TABLE, postgresql, table="rows")
    with (
        Proxy(postgresql, down=after, cuts=2) as proxy,
        dc.fetch(proxy.url, table="rows", batch_rows=1_000, retries=2) as reader,
    ):
        assert reader.read_all() == TABLE
    assert no_pauses == [0.5, 1.0]


def test_a_fetch_that_has_given_out_rows_is_not_tried_again(
    postgresql: str, no_pauses: list[float]
) -> None:
    with Proxy(postgresql, down=15_000_000) as proxy:
        reader = dc.fetch(proxy.url, query=LONG, batch_rows=1_000, retries=9)
        with pytest.raises(dc.SourceUnreachableError):
            reader.read_all()
    assert no_pauses == []


def test_tries_end_and_their_pauses_grow(no_pauses: list[float]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, and not listened to
        url = f"postgresql://fraud@127.0.0.1:{probe.getsockname()[1]}/db"
        with pytest.raises(dc.SourceUnreachableError, match="refused"):
            dc.fetch(url, table="rows", retries=8)
    assert no_pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    with pytest.raises(ValueError, match="retries"):
        dc.fetch(url, table="rows", retries=-1)


def test_a_wrong_password_is_not_tried_again(postgresql: str, no_pauses: list[float]) -> None:
    wrong = sa.make_url(postgresql).set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(AccessDeniedError, match="password authentication failed"):
        dc.load(BEFORE, wrong, table="rows", retries=9)
    assert no_pauses == []


@pytest.fixture
def mortal(server_to_kill: Server) -> Iterator[str]:
    """The URL of a running server that may be killed, without the tests' table."""
    server_to_kill.start()
    url = server_to_kill.url.render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS rows")
    yield url
    server_to_kill.start()


def test_a_server_that_is_killed_breaks_the_fetch(mortal: str, server_to_kill: Server) -> None:
    dc.load(TABLE, mortal, table="rows")
    reader = dc.fetch(mortal, query=LONG, batch_rows=100)
    reader.read_next_batch()
    server_to_kill.kill()
    with pytest.raises(dc.SourceUnreachableError, match="server"):
        reader.read_all()
    server_to_kill.start()
    assert dc.fetch(mortal).read_all() == TABLE


def test_a_reader_of_a_server_that_was_killed_is_closed_without_a_word(
    mortal: str, server_to_kill: Server
) -> None:
    with dc.fetch(mortal, query=LONG, batch_rows=100) as reader:
        reader.read_next_batch()
        server_to_kill.kill()


@pytest.mark.parametrize("if_exists", ["fail", "append", "replace", "upsert"])
def test_a_server_that_is_killed_in_a_load_has_each_row_once_after_the_next_try(
    mortal: str, server_to_kill: Server, if_exists: str
) -> None:
    if if_exists != "fail":
        dc.load(BEFORE, mortal, table="rows", if_exists="upsert")

    def killing() -> Iterator[pa.RecordBatch]:
        first, second = TABLE.slice(10).to_batches(max_chunksize=ROWS // 2)
        yield first
        server_to_kill.kill()
        yield second

    data = pa.RecordBatchReader.from_batches(SCHEMA, killing())
    with pytest.raises(dc.SourceUnreachableError):
        dc.load(data, mortal, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
    server_to_kill.start()
    if if_exists == "fail":
        assert dc.list_tables(mortal) == []
    else:
        assert there(mortal) == BEFORE
    again = TABLE.slice(10) if if_exists == "append" else TABLE
    dc.load(again, mortal, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
    assert there(mortal) == TABLE


def test_a_server_that_comes_back_is_found_again(
    mortal: str, server_to_kill: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_to_kill.kill()
    monkeypatch.setattr(retry, "sleep", lambda _: server_to_kill.start())
    assert dc.load(TABLE, mortal, table="rows", retries=1) == ROWS
    server_to_kill.kill()
    assert dc.fetch(mortal, table="rows", retries=1).read_all() == TABLE


def with_options(url: str, options: str) -> str:
    changed = sa.make_url(url).update_query_dict({"options": options})
    return changed.render_as_string(hide_password=False)


def test_a_statement_that_takes_too_long_is_given_up(postgresql: str) -> None:
    url = with_options(postgresql, "-c statement_timeout=100")
    with pytest.raises(dc.QueryError, match="gave up.*timeout.*statement_timeout"):
        dc.fetch(url, query="SELECT pg_sleep(60)::text AS slept").read_all()


@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
def test_a_table_that_another_transaction_holds_is_given_up(
    postgresql: str, if_exists: str, no_pauses: list[float]
) -> None:
    dc.load(BEFORE, postgresql, table="rows", if_exists="upsert")
    url = with_options(postgresql, "-c lock_timeout=50")
    with psycopg.connect(postgresql) as other:
        other.execute("LOCK TABLE rows")
        with pytest.raises(dc.SourceUnreachableError, match="another transaction.*lock_timeout"):
            dc.load(TABLE, url, table="rows", if_exists=if_exists)  # type: ignore[arg-type]
        with pytest.raises(dc.SourceUnreachableError, match="another transaction.*lock_timeout"):
            dc.fetch(url, table="rows").read_all()
    assert there(postgresql) == BEFORE


def test_no_lock_is_waited_for_without_end(postgresql: str) -> None:
    shown = "SELECT current_setting('lock_timeout') AS it"
    assert dc.fetch(postgresql, query=shown).read_all().to_pydict() == {"it": ["1min"]}
    own = with_options(postgresql, "-c lock_timeout=5s")
    assert dc.fetch(own, query=shown).read_all().to_pydict() == {"it": ["5s"]}


def test_a_reader_that_stops_costs_the_server_nothing_and_lets_it_go(
    postgresql: str, psql: Psql
) -> None:
    busy = (
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    query = "SELECT repeat('x', 1000) AS word FROM generate_series(1, 1000000)"  # 1 GB
    reader = dc.fetch(postgresql, query=query, batch_rows=1_000)
    reader.read_next_batch()
    held = 0
    for (pid,) in psql(postgresql, busy):
        status = Path(f"/proc/{pid}/status").read_text()
        held += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert 0 < held < 200e6
    reader.close()
    # The server notices when it next looks; a lock that it would hold cannot be had before.
    while psql(postgresql, busy):
        pass


LOAD_HALF = """
import sys
import pyarrow as pa
import data_connector as dc

schema = pa.schema([("transaction_id", pa.int64()), ("word", pa.string())])

def batches():
    yield pa.record_batch([range(100_000), ["half"] * 100_000], schema=schema)
    stop_here()

dc.load(
    pa.RecordBatchReader.from_batches(schema, batches()),
    sys.argv[1], table="rows", if_exists=sys.argv[2],
)
"""


@pytest.mark.parametrize("if_exists", ["append", "replace", "upsert"])
def test_a_killed_load_leaves_what_was_there(
    postgresql: str, if_exists: str, killed: Callable[..., None]
) -> None:
    dc.load(BEFORE, postgresql, table="rows", if_exists="upsert")
    killed(LOAD_HALF, postgresql, if_exists)
    assert there(postgresql) == BEFORE
    assert dc.list_tables(postgresql) == ["rows"]
