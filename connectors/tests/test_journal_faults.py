"""A journal whose connection is cut, whose server is killed, or whose place is not as it was."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from cutting_proxy import CuttingProxy
from redis_server import RedisServer, redis_server

from data_connector.errors import (
    CorruptSourceError,
    JournalReplacedError,
    OutcomeUnknownError,
    SourceNotFoundError,
    SourceUnreachableError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.journal import Entry, Journal, open_journal
from tools.servers.postgresql import PostgresqlServer

Psql = Callable[[str, str], list[tuple[object, ...]]]


@pytest.fixture
def journal(through_proxy: str) -> Iterator[Journal]:
    """A journal behind the proxy."""
    with open_journal(through_proxy) as opened:
        yield opened


@pytest.fixture
def other(direct: str) -> Iterator[Journal]:
    """The same journal, without the proxy."""
    with open_journal(direct) as opened:
        yield opened


def values(journal: Journal) -> list[bytes]:
    return [entry.value for entry in journal.since(0)]


# A call has several answers: those that come before the last are of preparing.
@pytest.mark.parametrize("after", range(4))
def test_an_append_is_done_once_whichever_answer_is_lost(
    journal: Journal, proxy: CuttingProxy, after: int
) -> None:
    for n in range(4):
        proxy.lose_answer(after=after)
        assert journal.append(b"%d" % n, after=n) == [Entry(n + 1, b"%d" % n)]
        assert journal.since(n) == [Entry(n + 1, b"%d" % n)]
    assert values(journal) == [b"0", b"1", b"2", b"3"]


def test_an_append_that_was_not_done_is_done_once(journal: Journal, proxy: CuttingProxy) -> None:
    journal.append(b"1", after=0)
    proxy.cut()
    assert journal.append(b"2", after=1) == [Entry(2, b"2")]
    assert values(journal) == [b"1", b"2"]


def test_reading_and_trimming_go_on_whichever_answer_is_lost(
    journal: Journal, proxy: CuttingProxy
) -> None:
    for n in range(3):
        journal.append(b"%d" % n, after=n)
    for n in range(3):
        proxy.lose_answer(after=n)
        assert journal.since(1) == [Entry(2, b"1"), Entry(3, b"2")]
        proxy.lose_answer(after=n)
        assert journal.last() == 3
        proxy.lose_answer(after=n)
        journal.trim(1)
        assert journal.since(1) == [Entry(2, b"1"), Entry(3, b"2")]


def test_of_an_append_that_was_done_others_may_have_been_told(
    journal: Journal, proxy: CuttingProxy, other: Journal
) -> None:
    journal.append(b"1", after=0)
    proxy.lose_answer(lambda: other.append(b"3", after=0))
    # Those after it are not told: they were not there when it was appended.
    assert journal.append(b"2", after=0) == [Entry(1, b"1"), Entry(2, b"2")]
    assert values(other) == [b"1", b"2", b"3"]


def test_of_an_append_that_is_trimmed_since_the_outcome_is_unknown(
    journal: Journal, proxy: CuttingProxy, other: Journal
) -> None:
    journal.append(b"1", after=0)
    proxy.lose_answer(lambda: other.trim(2))
    with pytest.raises(OutcomeUnknownError, match="trimmed up to position 2") as caught:
        journal.append(b"2", after=1)
    # Nor by another try, which must not append it again.
    with pytest.raises(OutcomeUnknownError, match="trimmed up to position 2"):
        journal.append(b"2", after=1, token=caught.value.version)
    assert other.last() == 2


def test_an_append_whose_server_does_not_come_back_can_be_repeated_later(
    journal: Journal, proxy: CuttingProxy, other: Journal
) -> None:
    journal.append(b"1", after=0)
    proxy.lose_answer(proxy.refuse)
    with pytest.raises(OutcomeUnknownError, match="same value= and after=, and token=") as caught:
        journal.append(b"2", after=1)
    # From now on it is known that nothing is done.
    with pytest.raises(SourceUnreachableError, match="check host, port") as known:
        journal.append(b"3", after=1)
    assert not isinstance(known.value, OutcomeUnknownError)
    other.append(b"4", after=0)
    repeated = other.append(b"2", after=1, token=caught.value.version)
    assert repeated == [Entry(2, b"2")]
    assert values(other) == [b"1", b"2", b"4"]


def test_a_journal_on_a_server_that_is_killed_goes_on(server_to_kill: PostgresqlServer) -> None:
    server_to_kill.start()
    with open_journal(server_to_kill.url.render_as_string(hide_password=False)) as journal:
        assert "***" in repr(journal) and "pa55" not in repr(journal)
        kill_and_start(journal, server_to_kill)


def test_a_journal_on_a_redis_that_keeps_all_goes_on() -> None:
    with (
        redis_server("--appendonly", "yes", "--appendfsync", "always") as server,
        open_journal(server.url) as journal,
    ):
        kill_and_start(journal, server)


def kill_and_start(journal: Journal, server: PostgresqlServer | RedisServer) -> None:
    journal.append(b"1", after=0)
    journal.append(b"2", after=1)
    journal.trim(1)
    server.kill()
    for call in (journal.last, lambda: journal.append(b"lost", after=2)):
        with pytest.raises(SourceUnreachableError, match="check host, port"):
            call()
    server.start()
    assert journal.append(b"3", after=1) == [Entry(2, b"2"), Entry(3, b"3")]
    server.kill()
    server.start()
    assert journal.append(b"4", after=2) == [Entry(3, b"3"), Entry(4, b"4")]


def test_a_redis_that_forgot_everything_is_noticed() -> None:
    with redis_server() as server, open_journal(server.url) as journal:
        journal.append(b"1", after=0)
        server.kill()
        server.start()
        with pytest.raises(JournalReplacedError, match="ends at position 0, before 1"):
            journal.append(b"2", after=1)
        assert journal.last() == 0


@pytest.fixture
def client(redis_session: RedisServer, redis_url: str) -> Iterator[redis.Redis]:
    """The server, past the library."""
    with redis.Redis(unix_socket_path=str(redis_session.socket)) as opened:
        yield opened


@pytest.mark.parametrize("dropped", ["{journal}:entries", "{journal}:head"])
def test_a_redis_that_drops_a_key_is_noticed(
    redis_url: str, client: redis.Redis, dropped: str
) -> None:
    with open_journal(redis_url) as journal:
        journal.append(b"1", after=0)
        client.delete(dropped)
        for call in (lambda: journal.append(b"2", after=1), journal.last, lambda: journal.trim(1)):
            with pytest.raises(CorruptSourceError, match="'journal'.*is damaged.*anew"):
                call()
        journal.close()
    with open_journal(redis_url) as journal, pytest.raises(CorruptSourceError, match="damaged"):
        journal.since(0)


def test_a_redis_without_room_refuses_an_append(redis_url: str, client: redis.Redis) -> None:
    with open_journal(redis_url) as journal:
        journal.append(b"1", after=0)
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(WriteError, match="nothing was written.*maxmemory"):
                journal.append(b"2", after=1)
        finally:
            client.config_set("maxmemory", 0)
        assert journal.append(b"3", after=1) == [Entry(2, b"3")]


def test_redis_keys_of_another_kind_or_format_are_refused(
    redis_url: str, client: redis.Redis
) -> None:
    client.set("{texts}:entries", "text")
    client.hset("{newer}:head", "format", "2")
    for name in ("texts", "newer"):
        with pytest.raises(CorruptSourceError, match=f"'{name}'.*no journal of format 1"):
            open_journal(redis_url, name=name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


TABLES = [
    ["CREATE TABLE journal_entries (customer TEXT)"],
    ["CREATE TABLE journal_head (format TEXT)"],
    [
        "CREATE TABLE journal_entries (position INT, token INT, value INT)",
        "CREATE TABLE journal_head (format BIGINT, trimmed BIGINT)",
        "INSERT INTO journal_head VALUES (2, 0)",
    ],
]


@pytest.mark.parametrize("tables", TABLES)
def test_sqlite_tables_of_another_kind_or_format_are_refused(path: Path, tables: list[str]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            connection.execute(table)
        connection.commit()
    with pytest.raises(CorruptSourceError, match="'journal'.*no journal of format 1"):
        open_journal(f"sqlite:///{path}")
    with open_journal(f"sqlite:///{path}", name="others") as journal:
        journal.append(b"1", after=0)


@pytest.mark.parametrize("tables", TABLES)
def test_postgresql_tables_of_another_kind_or_format_are_refused(
    postgresql: str, psql: Psql, tables: list[str]
) -> None:
    for table in tables:
        psql(postgresql, table)
    with pytest.raises(CorruptSourceError, match="'journal'.*no journal of format 1"):
        open_journal(postgresql)


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"transaction_id,amount\n1,2\n" * 100)
    with pytest.raises(CorruptSourceError, match="not a database"):
        open_journal(f"sqlite:///{path}")
    assert path.read_bytes() == b"transaction_id,amount\n1,2\n" * 100


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no folder .*absent: create it"):
        open_journal(f"sqlite:///{tmp_path}/absent/journal.db")


@pytest.mark.parametrize(("end", "expected"), [("", 1), ("?synchronous=full&timeout=1", 2)])
def test_sqlite_waits_for_the_disk_if_told_so(path: Path, end: str, expected: int) -> None:
    with open_journal(f"sqlite:///{path}{end}") as journal:
        # There is no seeing it from without but by a power cut.
        assert journal._backend._value("PRAGMA synchronous") == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["?synchronous=off", "?timeout=soon", "?mode=ro"])
def test_an_option_that_is_none_is_refused(path: Path, end: str) -> None:
    with pytest.raises(UnsupportedSourceError, match="a journal in SQLite takes.*synchronous=full"):
        open_journal(f"sqlite:///{path}{end}")
    assert not path.exists()


def test_a_sqlite_lock_that_another_keeps_is_an_error_that_says_so(path: Path) -> None:
    with open_journal(f"sqlite:///{path}?timeout=0") as journal:
        journal.append(b"1", after=0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for call in (lambda: journal.append(b"2", after=1), lambda: journal.trim(1)):
                with pytest.raises(SourceUnreachableError, match="in use.*timeout"):
                    call()
            # Readers do not wait for writers.
            assert values(journal) == [b"1"]
        assert journal.append(b"3", after=1) == [Entry(2, b"3")]


def test_an_entry_that_is_missing_is_noticed(path: Path) -> None:
    with open_journal(f"sqlite:///{path}") as journal:
        for n in range(3):
            journal.append(b"%d" % n, after=n)
        with closing(sqlite3.connect(path)) as other:
            other.execute("DELETE FROM journal_entries WHERE position = 2")
            other.commit()
        with pytest.raises(CorruptSourceError, match="after position 0 are missing.*restore"):
            journal.since(0)


FILL_DISK = """
import pathlib
from data_connector.errors import DiskFullError
from data_connector.journal import open_journal

other = pathlib.Path("other")
other.write_bytes(bytes(1_300_000))
with open_journal("sqlite:///journal.db") as journal:
    position = 0
    try:
        while True:
            position = journal.append(bytes(30_000), after=position)[-1].position
    except DiskFullError as error:
        print(error)
    print(journal.last() == position > 10)
    other.unlink()
    (entry,) = journal.append(bytes(30_000), after=position)
    print(entry.position == position + 1)
    journal.trim(position)
    print(journal.since(position) == [entry])
"""


def test_a_full_disk_is_named_and_the_journal_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Callable[[str], str]
) -> None:
    message, *rest = small_disk(FILL_DISK).splitlines()
    assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
    assert rest == ["True", "True", "True"]


APPEND_HALF = """
import sys
from data_connector.journal import open_journal

with open_journal(sys.argv[1]) as journal:
    journal.append(b"whole", after=0)
    backend = journal._backend
    # A page cache of nothing: what the transaction writes goes to the log at once.
    backend._execute("PRAGMA cache_size = 1")
    with backend._transaction("BEGIN IMMEDIATE"):
        for n in range(2, 100):
            backend._execute("INSERT INTO journal_entries VALUES (?, 1, ?)", n, bytes(4000))
        stop_here()
"""


def test_a_writer_killed_in_the_middle_of_an_append_leaves_nothing_half_written(
    path: Path, killed: Callable[..., None]
) -> None:
    killed(APPEND_HALF, f"sqlite:///{path}")
    assert path.with_name("journal.db-wal").stat().st_size > 100_000
    with open_journal(f"sqlite:///{path}") as journal:
        assert values(journal) == [b"whole"]
        assert journal.append(b"2", after=1) == [Entry(2, b"2")]


def held(url: str, statement: str) -> sa.Connection:
    """A transaction that has done so and holds its locks."""
    driver = sa.make_url(url).set(drivername="postgresql+psycopg")
    connection = sa.create_engine(driver, poolclass=sa.NullPool).connect()
    connection.exec_driver_sql(statement)
    return connection


def with_options(url: str, options: str) -> str:
    changed = sa.make_url(url).update_query_dict({"options": options})
    return changed.render_as_string(hide_password=False)


def test_a_postgresql_lock_that_another_keeps_is_an_error_that_says_so(postgresql: str) -> None:
    with open_journal(with_options(postgresql, "-c lock_timeout=50")) as journal:
        journal.append(b"1", after=0)
        with closing(held(postgresql, "SELECT FROM journal_head FOR UPDATE")):
            for call in (lambda: journal.append(b"2", after=1), lambda: journal.trim(1)):
                with pytest.raises(SourceUnreachableError, match="in use.*lock timeout.*repeat"):
                    call()
            assert values(journal) == [b"1"]
        assert journal.append(b"3", after=1) == [Entry(2, b"3")]


@pytest.mark.parametrize("isolation", ["read\\ committed", "serializable"])
def test_a_writer_that_waited_is_told_what_came_meanwhile(
    postgresql: str, psql: Psql, isolation: str
) -> None:
    url = with_options(postgresql, f"-c default_transaction_isolation={isolation}")
    with open_journal(url) as journal, ThreadPoolExecutor(1) as pool:
        journal.append(b"1", after=0)
        # As another writer does it.
        with closing(held(postgresql, "SELECT FROM journal_head FOR UPDATE")) as other:
            waiting = pool.submit(journal.append, b"3", after=1)
            while not psql(postgresql, "SELECT 1 FROM pg_locks WHERE NOT granted"):
                pass
            other.exec_driver_sql("INSERT INTO journal_entries VALUES (2, 1, '2')")
            other.commit()
        assert waiting.result() == [Entry(2, b"2"), Entry(3, b"3")]


def test_a_wrong_password_is_an_error_that_does_not_show_it(postgresql: str) -> None:
    wrong = sa.make_url(postgresql).set(password="s3cr3t").render_as_string(hide_password=False)
    with pytest.raises(SourceUnreachableError, match="password authentication failed") as caught:
        open_journal(wrong)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))
