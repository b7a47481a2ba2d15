"""A feature store in a SQLite file: its log, its locks, and what happens when things break."""

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
from data_connector.feature_store import Stored, open_feature_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last statement, past the library."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.commit()
        return rows


def test_the_file_keeps_a_log_while_it_is_open(path: Path, url: str) -> None:
    with open_feature_store(url) as store:
        store.put_many({"a": Stored(b"1", 0)})
        assert path.with_name("features.db-wal").stat().st_size > 0
    assert run(path, "PRAGMA journal_mode") == [("wal",)]
    assert [entry.name for entry in path.parent.iterdir()] == ["features.db"]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no folder .*absent: create it"):
        open_feature_store(f"sqlite:///{tmp_path}/absent/features.db")


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("?timeout=soon", "timeout=SECONDS"),
        ("?mode=ro", "timeout=SECONDS"),
        ("?timeout=1&timeout=2", "timeout=SECONDS"),
    ],
)
def test_an_option_that_is_none_is_refused(url: str, path: Path, end: str, message: str) -> None:
    with pytest.raises(UnsupportedSourceError, match=message):
        open_feature_store(url + end)
    assert not path.exists()


@pytest.mark.parametrize("memory", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(memory: str) -> None:
    with pytest.raises(UnsupportedSourceError, match="needs a file"):
        open_feature_store(memory)


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(path: Path, url: str) -> None:
    path.write_bytes(b"transaction_id,amount\n1,2\n" * 100)
    with pytest.raises(CorruptSourceError, match="not a database"):
        open_feature_store(url)
    assert path.read_bytes() == b"transaction_id,amount\n1,2\n" * 100


def test_a_damaged_file_is_an_error(path: Path, url: str) -> None:
    with open_feature_store(url) as store:
        store.replace_all((f"{n}", bytes(4000)) for n in range(1000))
    sound = path.read_bytes()
    # Found at once or when it is read, by where the damage is.
    for start in (3 * 4096, len(sound) // 2):
        path.write_bytes(sound[:start] + b"\xff" * (len(sound) - start))
        with (
            pytest.raises(CorruptSourceError, match="malformed.*restore"),
            open_feature_store(url) as store,
        ):
            list(store.items())


@pytest.mark.parametrize(
    "tables",
    [
        ["CREATE TABLE features_values (customer TEXT)"],
        ["CREATE TABLE features_meta (format TEXT)"],
        [
            "CREATE TABLE features_values (generation, key, version, value)",
            "CREATE TABLE features_meta (format INTEGER)",
            "INSERT INTO features_meta VALUES (2)",
        ],
    ],
)
def test_tables_of_another_shape_or_format_are_refused(
    path: Path, url: str, tables: list[str]
) -> None:
    run(path, *tables)
    with pytest.raises(CorruptSourceError, match="'features'.*format 1.*another name="):
        open_feature_store(url)
    run(path, "SELECT 1 FROM sqlite_master")  # not locked
    with open_feature_store(url, name="others") as store:
        store.put_many({"a": Stored(b"1", 0)})


def test_a_lock_that_another_process_keeps_is_an_error_that_says_so(path: Path, url: str) -> None:
    with open_feature_store(url + "?timeout=0") as store:
        version = store.put_many({"a": Stored(b"1", 0)})
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(SourceUnreachableError, match="in use.*timeout"):
                store.put_many({"a": Stored(b"2", version)})
            # Readers do not wait for writers.
            assert store.get_many(["a"]) == {"a": Stored(b"1", version)}
        store.put_many({"a": Stored(b"2", version)})


PUT_HALF = """
import sys
from data_connector.feature_store import Stored, open_feature_store

with open_feature_store(sys.argv[1]) as store:
    store.put_many({"a": Stored(b"old", 0), "z": Stored(b"old", 0)})
    version = store.get_many(["a"])["a"].version
    # A page cache of nothing: what the transaction writes goes to the log at once.
    store._backend._execute("PRAGMA cache_size = 1")

    def rows():
        yield b"a", b"half"
        for n in range(1000):
            yield b"%d" % n, bytes(4000)
        stop_here()

    with store._backend._transaction("BEGIN IMMEDIATE"):
        store._backend._write(1, rows(), 7)
"""


def test_a_writer_killed_in_the_middle_of_a_put_leaves_nothing_half_written(
    path: Path, url: str, killed: Callable[..., None]
) -> None:
    killed(PUT_HALF, url)
    assert path.with_name("features.db-wal").stat().st_size > 1_000_000
    with open_feature_store(url) as store:
        assert {key: it.value for key, it in store.items()} == {b"a": b"old", b"z": b"old"}
        store.put_many({"a": Stored(b"new", store.get_many(["a"])["a"].version)})


FILL_DISK = """
from data_connector.errors import DiskFullError
from data_connector.feature_store import Stored, open_feature_store

with open_feature_store("sqlite:///features.db") as store:
    version = store.put_many({"a": Stored(b"old", 0)})
    for attempt in (
        lambda: store.put_many({"a": Stored(b"new", version), "b": Stored(bytes(4_000_000), 0)}),
        lambda: store.replace_all((f"{n}", bytes(100_000)) for n in range(100)),
    ):
        try:
            attempt()
        except DiskFullError as error:
            print(error)
    print({key: it.value for key, it in store.items()} == {b"a": b"old"})
    store.put_many({"a": Stored(b"new", version)})
    print(store.get_many(["a"])["a"].value)
"""


def test_a_full_disk_is_named_and_the_store_goes_on(
    tmp_path: Path, small_disk: Callable[[str], str]
) -> None:
    put, replace, kept, value = small_disk(FILL_DISK).splitlines()
    for message in (put, replace):
        assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
    assert kept == "True"
    assert value == "b'new'"


FORK = """
import os, pathlib, sys
from data_connector.feature_store import Stored, open_feature_store

def held():
    return sum("features.db" in os.readlink(fd) for fd in fds() if os.path.lexists(fd))

def fds():
    return list(pathlib.Path("/proc/self/fd").iterdir())

with open_feature_store(sys.argv[1]) as store:
    store.put_many({"a": Stored(b"1", 0)})
    print(held(), flush=True)
    child = os.fork()
    if not child:
        print(held(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_no_connection_crosses_a_fork(url: str, python: Callable[..., str]) -> None:
    before, child = python(FORK, url).split()
    assert int(before) > 0
    assert child == "0"
