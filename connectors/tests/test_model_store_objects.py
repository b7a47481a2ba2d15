"""Models in object storage: what is promised where, lost answers, leftovers, secrets."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import fsspec
import pytest
from bucket import Bucket

import data_connector as dc
from data_connector import model_store_objects
from data_connector.model_catalogue import Catalogue
from data_connector.model_store_objects import ObjectModels


def writing(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "model.json").write_text(text) and None


def objects(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


@pytest.fixture
def store(tmp_path: Path, root: Path) -> dc.ModelStore:
    return dc.ModelStore(f"s3://{root}", cache=tmp_path / "cache")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[dc.ModelStore]:
    yield dc.ModelStore("memory://bucket/models", cache=tmp_path / "cache")
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_the_memory_file_system_is_a_store_for_tests(memory: dc.ModelStore) -> None:
    for text in "123":
        memory.publish("fraud", writing(text))
    memory.set_alias("fraud", "champion", 1)
    assert memory.collect_garbage("fraud", keep_last=1) == (2,)
    assert [(m.path / "model.json").read_text() for m in memory.list("fraud")] == ["1", "3"]
    assert memory.names() == ("fraud",)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://user:s3cr3t@host/models", "two publishers could overwrite each other there"),
        ("sftp://user:s3cr3t@host/models", "two publishers could overwrite each other there"),
        ("simplecache::s3://bucket/s3cr3t", "two publishers could overwrite each other there"),
        ("nosuch://user:s3cr3t@host/models", "no model store for nosuch"),
        ("gs://user:s3cr3t@bucket/models", "cannot open gs://bucket/models: Please install gcsfs"),
        ("mysql://user:s3cr3t@host/models", "no model store in mysql databases"),
        ("", "empty"),
    ],
)
def test_a_location_that_cannot_keep_the_promises_is_refused(url: str, problem: str) -> None:
    with pytest.raises(dc.UnsupportedSourceError, match=problem) as caught:
        dc.ModelStore(url)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_a_file_system_too_old_to_create_exclusively_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pipe_file(self: object, path: str, value: bytes, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Bucket, "pipe_file", pipe_file)
    with pytest.raises(dc.UnsupportedSourceError, match="too old to create objects exclusively"):
        dc.ModelStore("s3://bucket/models")


def test_a_change_whose_answer_was_lost_is_made_once(
    monkeypatch: pytest.MonkeyPatch, store: dc.ModelStore
) -> None:
    create = Bucket.pipe_file

    def answer_lost(self: object, *arguments: object, **options: object) -> None:
        create(self, *arguments, **options)
        raise TimeoutError

    monkeypatch.setattr(Bucket, "pipe_file", answer_lost)
    assert store.publish("fraud", writing("1")).version == 1
    assert store.publish("fraud", writing("2")).version == 2
    assert [model.version for model in store.list("fraud")] == [1, 2]


def test_who_is_overtaken_reads_again(
    monkeypatch: pytest.MonkeyPatch, store: dc.ModelStore
) -> None:
    read = ObjectModels.read_numbered

    def overtaken(models: ObjectModels, name: str) -> tuple[int, Catalogue]:
        before = read(models, name)
        monkeypatch.setattr(ObjectModels, "read_numbered", read)
        assert store.publish("fraud", writing("quick")).version == 1
        return before

    monkeypatch.setattr(ObjectModels, "read_numbered", overtaken)
    assert store.publish("fraud", writing("slow")).version == 2
    assert [(m.path / "model.json").read_text() for m in store.list("fraud")] == ["quick", "slow"]


@pytest.mark.parametrize("scheme", ["s3", "az"])
def test_what_is_there_is_never_written_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path, scheme: str
) -> None:
    """`az` stands for adlfs, which has another word for it than s3fs."""
    store = dc.ModelStore(f"{scheme}://{root}", cache=tmp_path / "cache")
    store.publish("fraud", writing("1"))
    monkeypatch.setattr(ObjectModels, "read_numbered", lambda *_: (0, Catalogue()))
    with pytest.raises(dc.SourceUnreachableError, match="refused 100 changes"):
        store.publish("fraud", writing("2"))
    monkeypatch.undo()
    assert [(m.path / "model.json").read_text() for m in store.list("fraud")] == ["1"]


def test_storage_that_refuses_every_change_is_an_error_and_no_endless_loop(
    monkeypatch: pytest.MonkeyPatch, store: dc.ModelStore
) -> None:
    store.publish("fraud", writing(""))
    monkeypatch.setattr(Bucket, "ls", lambda *_, **__: [])  # as if it were not there
    with pytest.raises(dc.SourceUnreachableError, match="refused 100 changes of model 'fraud'"):
        store.publish("fraud", writing(""))


@pytest.mark.parametrize("method", ["put_file", "ls", "get_file", "pipe_file"])
def test_what_the_file_system_says_is_told_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str
) -> None:
    secret = "s3c%2Fr3t"
    url = f"s3://key:{secret}@bucket{tmp_path}"
    monkeypatch.setattr(Bucket, "_strip_protocol", classmethod(lambda *_: str(tmp_path)))
    store = dc.ModelStore(url, cache=tmp_path / "cache")
    monkeypatch.undo()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"denied to {unquote(secret)} and {secret}")

    monkeypatch.setattr(Bucket, method, fail)
    with pytest.raises(dc.SourceUnreachableError, match="RuntimeError: denied to ") as caught:
        _ = store.publish("fraud", writing("")).path
    shown = "".join(traceback.format_exception(caught.value))
    assert "r3t" not in shown + repr(store)
    assert f"s3://bucket{tmp_path}" in shown


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda file: file.write_text("Original"), "'model.json' .*was altered"),
        (lambda file: file.write_text("cut"), "'model.json' .*has 3 bytes, not the 8"),
        (lambda file: file.unlink(), "'model.json' .*is missing"),
    ],
)
def test_a_damaged_object_is_refused_by_its_name(
    root: Path, store: dc.ModelStore, damage: Callable[[Path], None], problem: str
) -> None:
    store.publish("fraud", writing("original"))
    (file,) = root.rglob("model.json")
    damage(file)
    with pytest.raises(dc.CorruptSourceError, match=f"version 1 of model 'fraud'.*{problem}"):
        _ = store.latest("fraud").path


def test_a_copy_once_checked_needs_no_storage(root: Path, store: dc.ModelStore) -> None:
    path = store.publish("fraud", writing("text")).path
    for file in root.rglob("model.json"):
        file.unlink()
    assert store.latest("fraud").path == path
    assert (path / "model.json").read_text() == "text"


def test_the_objects_of_removed_versions_are_gone(root: Path, store: dc.ModelStore) -> None:
    for text in "12":
        store.publish("fraud", writing(text))
    store.collect_garbage("fraud", keep_last=1)
    assert objects(root) == [f"000000000{n}.json" for n in (1, 2, 3)] + ["model.json"]


def test_only_so_many_catalogues_stay(
    monkeypatch: pytest.MonkeyPatch, root: Path, store: dc.ModelStore
) -> None:
    monkeypatch.setattr(model_store_objects, "_KEPT", 2)
    store.publish("fraud", writing(""))
    for alias in "abcd":
        store.set_alias("fraud", alias, 1)
    assert len(objects(root / "fraud" / "catalogue")) == 5
    store.collect_garbage("fraud", keep_last=1)
    assert objects(root / "fraud" / "catalogue") == [f"000000000{n}.json" for n in (4, 5)]
    assert store.aliases("fraud") == dict.fromkeys("abcd", 1)
    assert store.publish("fraud", writing("")).version == 2


def test_a_change_that_may_have_come_too_late_to_be_seen_says_so(
    monkeypatch: pytest.MonkeyPatch, store: dc.ModelStore
) -> None:
    monkeypatch.setattr(model_store_objects, "_KEPT", 2)
    read = ObjectModels.read_numbered

    def overtaken(models: ObjectModels, name: str) -> tuple[int, Catalogue]:
        before = read(models, name)
        monkeypatch.setattr(ObjectModels, "read_numbered", read)
        for alias in "abcd":
            store.set_alias("fraud", alias, 1)
        store.collect_garbage("fraud", keep_last=1)
        return before

    store.publish("fraud", writing(""))
    monkeypatch.setattr(ObjectModels, "read_numbered", overtaken)
    with pytest.raises(dc.CommitUnknownError, match="had 2 changes of model 'fraud'.*may be lost"):
        store.set_alias("fraud", "late", 1)
    assert store.aliases("fraud") == dict.fromkeys("abcd", 1)


def test_a_catalogue_that_vanishes_before_it_is_read_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch, store: dc.ModelStore
) -> None:
    store.publish("fraud", writing(""))
    read = Bucket.cat_file

    def vanish(*_: object, **__: object) -> bytes:
        raise FileNotFoundError

    def vanish_once(*_: object, **__: object) -> bytes:
        monkeypatch.setattr(Bucket, "cat_file", read)
        raise FileNotFoundError

    monkeypatch.setattr(Bucket, "cat_file", vanish_once)
    assert store.latest("fraud").version == 1
    monkeypatch.setattr(Bucket, "cat_file", vanish)
    with pytest.raises(dc.SourceUnreachableError, match="catalogues of model 'fraud' that it does"):
        store.latest("fraud")


PUBLISH_AND_STOP = """
import sys
import bucket
from data_connector import ModelStore
from data_connector.model_store_objects import ObjectModels

ObjectModels.change = lambda *_: stop_here()
ModelStore(sys.argv[1], cache=sys.argv[2]).publish(
    "fraud", lambda folder: (folder / "weights").write_text("")
)
"""


def test_what_a_killed_publisher_uploaded_is_removed_after_a_day(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    root: Path,
    store: dc.ModelStore,
    killed: Callable[..., None],
) -> None:
    store.publish("fraud", writing(""))
    killed(PUBLISH_AND_STOP, f"s3://{root}", tmp_path / "cache")
    store.collect_garbage("fraud", keep_last=1)
    assert "weights" in objects(root)  # might be of one at work

    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    clock = type("clock", (datetime,), {"now": classmethod(lambda *_: tomorrow)})
    monkeypatch.setattr(model_store_objects, "datetime", clock)
    store.collect_garbage("fraud", keep_last=1)
    assert "weights" not in objects(root)
    assert "model.json" in objects(root)


def test_an_upload_that_may_pass_for_abandoned_is_not_published(
    monkeypatch: pytest.MonkeyPatch, store: dc.ModelStore
) -> None:
    tonight = datetime.now(UTC) + timedelta(hours=13)
    clock = type("clock", (datetime,), {"now": classmethod(lambda *_: tonight)})
    monkeypatch.setattr(model_store_objects, "datetime", clock)
    with pytest.raises(dc.WriteError, match="took over 12:00:00, and may pass for abandoned"):
        store.publish("fraud", writing(""))
    assert store.list("fraud") == ()
