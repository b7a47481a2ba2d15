"""Models in databases: what is stored, rights, damage, and secrets."""

from __future__ import annotations

import sqlite3
import traceback
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

import data_connector as dc

Psql = Callable[[str, str], list[tuple[object, ...]]]


def writing(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "model.json").write_text(text) and None


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "models.db"


@pytest.fixture
def store(tmp_path: Path, database: Path) -> dc.ModelStore:
    return dc.ModelStore(f"sqlite:///{database}", cache=tmp_path / "cache")


def sqlite(database: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement).fetchall()


def test_to_look_creates_no_database(database: Path, store: dc.ModelStore) -> None:
    assert store.names() == ()
    assert store.list("fraud") == ()
    assert store.collect_garbage("fraud", keep_last=1) == ()
    assert not database.exists()


def test_a_store_is_a_url_object_too(tmp_path: Path, database: Path) -> None:
    store = dc.ModelStore(sa.make_url(f"sqlite:///{database}"), cache=tmp_path)
    assert store.publish("fraud", writing("")).version == 1


def test_models_lie_beside_other_tables(database: Path, store: dc.ModelStore) -> None:
    sqlite(database, "CREATE TABLE transactions (transaction_id INTEGER)")
    assert store.names() == ()
    store.publish("fraud", writing(""))
    assert dc.list_tables(f"sqlite:///{database}") == [
        "model_store_files",
        "model_store_models",
        "transactions",
    ]


def test_removed_versions_leave_no_rows(database: Path, store: dc.ModelStore) -> None:
    for text in "12":
        store.publish("fraud", writing(text))
    store.collect_garbage("fraud", keep_last=1)
    assert sqlite(database, "SELECT content FROM model_store_files") == [(b"2",)]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE model_store_files SET content = x'31'", "'model.json' .*has 1 bytes, not the 8"),
        (
            "UPDATE model_store_files SET content = x'4f726967696e616c'",
            "'model.json' .*was altered",
        ),
        ("DELETE FROM model_store_files", "'model.json' .*is missing"),
        (
            "UPDATE model_store_models SET catalogue = '{'",
            "table model_store_models, model 'fraud'",
        ),
    ],
)
def test_damage_is_refused_by_name(
    database: Path, store: dc.ModelStore, statement: str, problem: str
) -> None:
    store.publish("fraud", writing("original"))
    sqlite(database, statement)
    with pytest.raises(dc.CorruptSourceError, match=problem):
        _ = store.latest("fraud").path


def test_a_piece_that_no_manifest_names_is_not_written(
    tmp_path: Path, database: Path, store: dc.ModelStore
) -> None:
    store.publish("fraud", writing("text"))
    sqlite(
        database,
        "INSERT INTO model_store_files SELECT place, '../../../escaped', 0, content"
        " FROM model_store_files",
    )
    assert [file.name for file in store.latest("fraud").path.iterdir()] == ["model.json"]
    assert not list(tmp_path.rglob("escaped"))


def test_a_file_that_is_no_database_is_an_error(database: Path, store: dc.ModelStore) -> None:
    database.write_text("no database, but long enough to be read as one" * 20)
    with pytest.raises(dc.CorruptSourceError, match="cannot be read as a SQLite database"):
        store.latest("fraud")


def test_a_locked_database_is_an_error_after_the_time_given(database: Path) -> None:
    store = dc.ModelStore(f"sqlite:///{database}?timeout=0.01")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(dc.SourceUnreachableError, match="in use by another"):
            store.publish("fraud", writing(""))


def test_a_wrong_password_is_an_error_that_does_not_show_it(postgresql: str) -> None:
    wrong = sa.make_url(postgresql).set(password="s3cr3t").render_as_string(hide_password=False)
    store = dc.ModelStore(wrong)
    for act in (store.latest, lambda name: store.publish(name, writing(""))):
        with pytest.raises(dc.SourceUnreachableError, match="authentication failed") as caught:
            act("fraud")
        assert "s3cr3t" not in "".join(traceback.format_exception(caught.value)) + repr(store)


def test_a_reader_needs_no_right_to_write(postgresql: str, tmp_path: Path, psql: Psql) -> None:
    store = dc.ModelStore(postgresql, cache=tmp_path / "cache")
    store.publish("fraud", writing("text"))
    psql(postgresql, "DROP ROLE IF EXISTS reader")
    psql(postgresql, "CREATE ROLE reader LOGIN PASSWORD 'reader'")
    try:
        psql(postgresql, "GRANT USAGE ON SCHEMA public TO reader")
        psql(postgresql, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        url = sa.make_url(postgresql).set(username="reader", password="reader")
        reader = dc.ModelStore(url, cache=tmp_path / "another")
        assert (reader.latest("fraud").path / "model.json").read_text() == "text"
        for act in (
            lambda: reader.publish("fraud", writing("")),
            lambda: reader.set_alias("fraud", "champion", 1),
        ):
            with pytest.raises(dc.QueryError, match="permission denied"):
                act()
        assert len(store.list("fraud")) == 1
    finally:
        psql(postgresql, "DROP OWNED BY reader")
        psql(postgresql, "DROP ROLE reader")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_large_model_is_never_in_memory_as_a_whole(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    def write(folder: Path) -> None:
        with (folder / "weights").open("wb") as file:
            file.truncate(32 << 20)

    url = (
        f"sqlite:///{tmp_path}/models.db"
        if kind == "sqlite"
        else request.getfixturevalue("postgresql")
    )
    tracemalloc.start()
    try:
        model = dc.ModelStore(url, cache=tmp_path / "cache").publish("fraud", write)
        assert (model.path / "weights").stat().st_size == 32 << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_version_is_read_whole_while_it_is_removed(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_connector import model_store_sql

    def write(folder: Path) -> None:
        for name in "ab":
            (folder / name).write_bytes(bytes(3 << 20))

    store = dc.ModelStore(postgresql, cache=tmp_path / "cache")
    store.publish("fraud", write)
    store.publish("fraud", writing("2"))
    model = store.get("fraud", 1)
    removed = []

    def errors(path: Path) -> object:
        if not removed:  # the first piece has come
            removed.append(store.collect_garbage("fraud", keep_last=1))
        return original(path)

    original = model_store_sql.write_errors
    monkeypatch.setattr(model_store_sql, "write_errors", errors)
    assert {file.name: file.stat().st_size for file in model.path.iterdir()} == {
        "a": 3 << 20,
        "b": 3 << 20,
    }
    assert removed == [(1,)]
