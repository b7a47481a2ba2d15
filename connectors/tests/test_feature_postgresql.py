"""A feature store in PostgreSQL: its locks, its rights, and a server that crashes."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from data_connector.errors import (
    ConflictError,
    ConnectorError,
    CorruptSourceError,
    SourceNotFoundError,
    SourceUnreachableError,
)
from data_connector.feature_store import Stored, open_feature_store

Psql = Callable[[str, str], list[tuple[object, ...]]]


def with_(url: str, **parts: object) -> str:
    changed: sa.URL = sa.make_url(url).set(**parts)  # type: ignore[arg-type]
    return changed.render_as_string(hide_password=False)


def held(url: str, *statements: str) -> sa.Connection:
    """A transaction that has done so and holds its locks."""
    driver = sa.make_url(url).set(drivername="postgresql+psycopg")
    connection = sa.create_engine(driver, poolclass=sa.NullPool).connect()
    for statement in statements:
        connection.exec_driver_sql(statement)
    return connection


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask until it holds; the test's own time is the limit."""
    while not condition():
        pass


def test_a_wrong_password_is_an_error_that_does_not_show_it(postgresql: str) -> None:
    wrong = with_(postgresql, password="s3cr3t")
    with pytest.raises(SourceUnreachableError, match="password authentication failed") as caught:
        open_feature_store(wrong)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_a_store_shows_no_password(postgresql: str) -> None:
    with open_feature_store(postgresql) as store:
        assert "***" in repr(store)
        assert "pa55" not in repr(store)


def test_a_missing_database_is_named(postgresql: str) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        open_feature_store(with_(postgresql, database="nowhere"))


@pytest.mark.parametrize(
    "tables",
    [
        ["CREATE TABLE features_values (customer text)"],
        ["CREATE TABLE features_meta (format text)"],
        [
            "CREATE TABLE features_values (generation int, key int, version int, value int)",
            "CREATE TABLE features_meta AS SELECT 2::bigint AS format",
        ],
    ],
)
def test_tables_of_another_shape_or_format_are_refused(
    postgresql: str, psql: Psql, tables: list[str]
) -> None:
    for table in tables:
        psql(postgresql, table)
    with pytest.raises(CorruptSourceError, match="'features'.*format 1.*another name="):
        open_feature_store(postgresql)


def test_a_role_that_may_not_create_uses_what_is_there(postgresql: str, psql: Psql) -> None:
    with open_feature_store(postgresql) as store:
        store.put_many({"a": Stored(b"1", 0)})
    psql(postgresql, "CREATE ROLE scorer LOGIN PASSWORD 'scorer'")
    try:
        psql(postgresql, "GRANT USAGE ON SCHEMA public TO scorer")
        psql(postgresql, "GRANT SELECT, INSERT, UPDATE ON features_values TO scorer")
        psql(postgresql, "GRANT SELECT ON features_meta TO scorer")
        as_scorer = with_(postgresql, username="scorer", password="scorer")
        with open_feature_store(as_scorer) as store:
            store.put_many({"a": Stored(b"2", store.get_many(["a"])["a"].version)})
        with pytest.raises(ConnectorError, match="permission denied for schema"):
            open_feature_store(as_scorer, name="others")
    finally:
        psql(postgresql, "DROP OWNED BY scorer")
        psql(postgresql, "DROP ROLE scorer")


def test_a_put_at_work_during_a_replacement_counts_as_before_it(
    postgresql: str, psql: Psql
) -> None:
    with (
        open_feature_store(postgresql) as store,
        open_feature_store(postgresql) as replacing,
        ThreadPoolExecutor(1) as pool,
    ):
        version = store.put_many({"a": Stored(b"1", 0), "b": Stored(b"1", 0)})
        with closing(held(postgresql, "SELECT * FROM features_values WHERE key = 'a' FOR UPDATE")):
            late = pool.submit(store.put_many, {"a": Stored(b"2", version), "c": Stored(b"2", 0)})
            wait_until(lambda: bool(psql(postgresql, "SELECT 1 FROM pg_locks WHERE NOT granted")))
            new = replacing.replace_all([("a", b"new")])
        with pytest.raises(ConflictError):
            store.put_many({"a": Stored(b"3", late.result())})
        assert dict(store.items()) == {b"a": Stored(b"new", new)}
        # What it left behind goes with the next replacement.
        replacing.replace_all([])
        assert psql(postgresql, "SELECT count(*) FROM features_values") == [(0,)]


def test_a_replacement_that_is_itself_replaced_at_once_was_done(
    postgresql: str, psql: Psql
) -> None:
    with open_feature_store(postgresql) as store:
        psql(
            postgresql,
            """
            CREATE FUNCTION swap_again() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN UPDATE features_meta SET current = 7; RETURN NULL; END'
            """,
        )
        psql(
            postgresql,
            "CREATE TRIGGER another AFTER UPDATE ON features_meta FOR EACH ROW"
            " WHEN (old.current <> new.current AND new.current <> 7)"
            " EXECUTE FUNCTION swap_again()",
        )
        assert store.replace_all([("a", b"1")]) != 7
        assert psql(postgresql, "SELECT current FROM features_meta") == [(7,)]


def test_a_key_that_others_create_at_the_same_time_is_a_conflict(
    postgresql: str, psql: Psql
) -> None:
    with open_feature_store(postgresql) as store, ThreadPoolExecutor(1) as pool:
        first = held(postgresql, "INSERT INTO features_values VALUES (1, 'a', 5, 'theirs')")
        with closing(first):
            late = pool.submit(store.put_many, {"a": Stored(b"ours", 0), "b": Stored(b"ours", 0)})
            wait_until(lambda: bool(psql(postgresql, "SELECT 1 FROM pg_locks WHERE NOT granted")))
            first.commit()
        with pytest.raises(ConflictError) as caught:
            late.result()
        assert caught.value.keys == ("a",)
        assert {key: it.value for key, it in store.items()} == {b"a": b"theirs"}


def test_a_lock_that_another_keeps_is_an_error_that_says_so(postgresql: str) -> None:
    with open_feature_store(postgresql) as store:
        version = store.put_many({"a": Stored(b"1", 0)})
    impatient = sa.make_url(postgresql).update_query_dict({"options": "-c lock_timeout=50"})
    with (
        open_feature_store(impatient.render_as_string(hide_password=False)) as store,
        closing(held(postgresql, "SELECT * FROM features_values FOR UPDATE")) as other,
    ):
        with pytest.raises(SourceUnreachableError, match="in use.*lock timeout.*repeat"):
            store.put_many({"a": Stored(b"2", version)})
        assert store.get_many(["a"]) == {"a": Stored(b"1", version)}
        other.rollback()
        store.put_many({"a": Stored(b"2", version)})


def test_a_server_that_crashes_between_read_and_write_is_used_again(
    postgresql: str, psql: Psql
) -> None:
    with open_feature_store(postgresql) as store:
        version = store.put_many({"a": Stored(b"1", 0)})
        (pid,) = psql(
            postgresql,
            "SELECT max(pid) FROM pg_stat_activity WHERE datname = 'postgres'"
            " AND pid <> pg_backend_pid()",
        )[0]
        # The server takes the end of one of its processes for damage: it ends all others, and
        # starts again from its log.
        os.kill(int(str(pid)), signal.SIGKILL)
        refusals = []

        def written() -> bool:
            try:
                store.put_many({"a": Stored(b"2", version)})
            except SourceUnreachableError as error:
                refusals.append(str(error))
                return False
            return True

        wait_until(written)
        assert all("check host, port" in refusal for refusal in refusals)
        assert store.get_many(["a"])["a"].value == b"2"


def test_a_writer_killed_in_the_middle_of_a_put_leaves_nothing_half_written(
    postgresql: str, psql: Psql, killed: Callable[..., None]
) -> None:
    with open_feature_store(postgresql) as store:
        version = store.put_many({"a": Stored(b"1", 0), "b": Stored(b"1", 0)})
        with closing(held(postgresql, "SELECT * FROM features_values FOR UPDATE")):
            killed(PUT_AND_STOP, postgresql, version)
        # The server finishes what it was asked for, whole; or finds that nobody is there.
        wait_until(lambda: not psql(postgresql, "SELECT 1 FROM pg_locks WHERE NOT granted"))
        found = {it.value for it in store.get_many(["a", "b"]).values()}
        assert found in ({b"1"}, {b"2"})


PUT_AND_STOP = """
import sys, threading
from data_connector.feature_store import Stored, open_feature_store

store, version = open_feature_store(sys.argv[1]), int(sys.argv[2])
new = {"a": Stored(b"2", version), "b": Stored(b"2", version)}
threading.Thread(target=store.put_many, args=[new], daemon=True).start()
with open_feature_store(sys.argv[1]) as other:
    waiting = "SELECT FROM pg_locks WHERE NOT granted"
    while not other._backend._rows(waiting):
        pass
stop_here()
"""
