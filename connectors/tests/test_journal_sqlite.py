"""A journal in a SQLite file: its options, its locks, and what happens when things break."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from data_connector.errors import (
    CorruptSourceError,
    SourceNotFoundError,
    SourceUnreachableError,
    UnsupportedSourceError,
)
from data_connector.journal import Entry, Journal, open_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def values(journal: Journal) -> list[bytes]:
    return [entry.value for entry in journal.since(0)]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no folder .*absent: create it"):
        open_journal(f"sqlite:///{tmp_path}/absent/journal.db")


@pytest.mark.parametrize(("end", "expected"), [("", 1), ("?synchronous=full&timeout=1", 2)])
def test_a_file_waits_for_the_disk_if_told_so(path: Path, end: str, expected: int) -> None:
    with open_journal(f"sqlite:///{path}{end}") as journal:
        # There is no seeing it from without but by a power cut.
        assert journal._backend._value("PRAGMA synchronous") == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["?synchronous=off", "?timeout=soon", "?mode=ro"])
def test_an_option_that_is_none_is_refused(path: Path, end: str) -> None:
    with pytest.raises(UnsupportedSourceError, match="a journal in SQLite takes.*synchronous=full"):
        open_journal(f"sqlite:///{path}{end}")
    assert not path.exists()


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"transaction_id,amount\n1,2\n" * 100)
    with pytest.raises(CorruptSourceError, match="not a database"):
        open_journal(f"sqlite:///{path}")
    assert path.read_bytes() == b"transaction_id,amount\n1,2\n" * 100


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
def test_tables_of_another_kind_or_format_are_refused(path: Path, tables: list[str]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            connection.execute(table)
        connection.commit()
    with pytest.raises(CorruptSourceError, match="'journal'.*no journal of format 1"):
        open_journal(f"sqlite:///{path}")
    with open_journal(f"sqlite:///{path}", name="others") as journal:
        journal.append(b"1", after=0)


def test_a_lock_that_another_keeps_is_an_error_that_says_so(path: Path) -> None:
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


def test_a_trim_between_two_statements_of_a_reader_is_not_seen(path: Path) -> None:
    url = f"sqlite:///{path}"
    with open_journal(url) as journal, open_journal(url) as other:
        for n in range(3):
            journal.append(b"%d" % n, after=n)

        def trim(statement: str) -> None:
            if "ORDER BY position" in statement:
                other.trim(2)

        journal._backend._open.set_trace_callback(trim)  # type: ignore[attr-defined]
        assert values(journal) == [b"0", b"1", b"2"]


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
