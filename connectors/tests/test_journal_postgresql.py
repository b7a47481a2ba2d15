"""A journal in PostgreSQL: its locks and its tables."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from data_connector.errors import ConnectorError, CorruptSourceError, SourceUnreachableError
from data_connector.journal import Entry, open_journal

Psql = Callable[[str, str], list[tuple[object, ...]]]


def with_options(url: str, options: str) -> str:
    changed = sa.make_url(url).update_query_dict({"options": options})
    return changed.render_as_string(hide_password=False)


def held(url: str, statement: str) -> sa.Connection:
    """A transaction that has done so and holds its locks."""
    driver = sa.make_url(url).set(drivername="postgresql+psycopg")
    connection = sa.create_engine(driver, poolclass=sa.NullPool).connect()
    connection.exec_driver_sql(statement)
    return connection


def test_a_wrong_password_is_an_error_that_does_not_show_it(postgresql: str) -> None:
    wrong = sa.make_url(postgresql).set(password="s3cr3t").render_as_string(hide_password=False)
    with pytest.raises(SourceUnreachableError, match="password authentication failed") as caught:
        open_journal(wrong)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


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
def test_tables_of_another_kind_or_format_are_refused(
    postgresql: str, psql: Psql, tables: list[str]
) -> None:
    for table in tables:
        psql(postgresql, table)
    with pytest.raises(CorruptSourceError, match="'journal'.*no journal of format 1"):
        open_journal(postgresql)


def test_a_lock_that_another_keeps_is_an_error_that_says_so(postgresql: str) -> None:
    with open_journal(with_options(postgresql, "-c lock_timeout=50")) as journal:
        journal.append(b"1", after=0)
        with closing(held(postgresql, "SELECT FROM journal_head FOR UPDATE")):
            for call in (lambda: journal.append(b"2", after=1), lambda: journal.trim(1)):
                with pytest.raises(SourceUnreachableError, match="in use.*lock timeout.*repeat"):
                    call()
            assert journal.since(0) == [Entry(1, b"1")]
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


def test_a_role_that_may_not_create_uses_what_is_there(postgresql: str, psql: Psql) -> None:
    with open_journal(postgresql) as journal:
        journal.append(b"1", after=0)
    psql(postgresql, "CREATE ROLE scorer LOGIN PASSWORD 'scorer'")
    try:
        psql(postgresql, "GRANT USAGE ON SCHEMA public TO scorer")
        psql(postgresql, "GRANT SELECT, INSERT ON journal_entries TO scorer")
        psql(postgresql, "GRANT SELECT, UPDATE ON journal_head TO scorer")
        as_scorer = sa.make_url(postgresql).set(username="scorer", password="scorer")
        with open_journal(as_scorer.render_as_string(hide_password=False)) as journal:
            assert journal.append(b"2", after=1) == [Entry(2, b"2")]
            with pytest.raises(ConnectorError, match="permission denied"):
                journal.trim(1)
            assert journal.since(0, limit=1) == [Entry(1, b"1")]
    finally:
        psql(postgresql, "DROP OWNED BY scorer")
        psql(postgresql, "DROP ROLE scorer")
