"""Copies of models on this machine: whole, shared, never gone while in use, and only so many."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bucket  # noqa: F401 - registers s3://
import pytest

import data_connector as dc
from data_connector import model_cache
from data_connector.atomic import lock
from data_connector.errors import CorruptSourceError
from data_connector.model_cache import LocalModel, ModelCache
from data_connector.model_catalogue import Manifest, new_manifest
from data_connector.model_files import settle, verify


def write(folder: Path, text: str = "12345") -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "weights").write_text(text)
    (folder / "model.json").write_text("{}")


def replace(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    model = tmp_path / "model"
    model.mkdir()
    write(model)
    return new_manifest(settle(model), {})


@pytest.fixture
def copied(tmp_path: Path, manifest: Manifest) -> Callable[..., LocalModel]:
    """Gives version 1 of the model `fraud`, with another cache's limit or download."""

    def copy(download: Callable[[Path], None] = write, limit: int = 10**9) -> LocalModel:
        return ModelCache(tmp_path / "cache", limit).copy("fraud", 1, manifest, download, title="")

    return copy


def test_a_model_is_downloaded_once(
    tmp_path: Path, manifest: Manifest, copied: Callable[..., LocalModel]
) -> None:
    downloads = []

    def download(folder: Path) -> None:
        downloads.append(folder)
        write(folder)

    for _ in range(2):
        path = copied(download).path
        assert path == tmp_path / "cache" / "fraud" / f"1-{manifest.place}"
        verify(path, manifest.files, title="")
    assert len(downloads) == 1


def test_a_damaged_copy_is_downloaded_again(
    manifest: Manifest, copied: Callable[..., LocalModel]
) -> None:
    path = copied().path
    replace(path / "model.json", "[]")
    assert copied().path == path
    assert (path / "model.json").read_text() == "{}"
    assert names(path.parent) == [f".1-{manifest.place}.used", ".lock", f"1-{manifest.place}"]


def test_a_damaged_download_is_an_error_and_not_kept(
    tmp_path: Path, manifest: Manifest, copied: Callable[..., LocalModel]
) -> None:
    with pytest.raises(CorruptSourceError, match="'parts/weights' .*was altered"):
        copied(lambda folder: write(folder, "54321"))
    assert names(tmp_path / "cache" / "fraud") == [f".1-{manifest.place}.used", ".lock"]


def test_readers_at_once_share_one_copy(
    manifest: Manifest, copied: Callable[..., LocalModel]
) -> None:
    together = threading.Barrier(4, timeout=30)

    def download(folder: Path) -> None:
        write(folder)
        together.wait()

    with ThreadPoolExecutor(4) as pool:
        (path,) = {model.path for model in pool.map(lambda _: copied(download), range(4))}
    verify(path, manifest.files, title="")
    assert names(path.parent) == [f".1-{manifest.place}.used", ".lock", f"1-{manifest.place}"]


def test_who_comes_while_a_copy_is_dropped_downloads_it_again(
    manifest: Manifest, copied: Callable[..., LocalModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied().path
    waits = threading.Event()

    def lock_and_tell(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
        if shared:
            waits.set()
        return lock(descriptor, wait=wait, shared=shared)

    def discard_and_meet(model: Path) -> None:
        monkeypatch.setattr(model_cache, "lock", lock_and_tell)
        reader = pool.submit(lambda: copied())
        assert waits.wait(30)
        discard(model)
        readers.append(reader)

    discard, readers = model_cache.discard, []
    monkeypatch.setattr(model_cache, "discard", discard_and_meet)
    with ThreadPoolExecutor(1) as pool:
        assert model_cache._drop(path)
        model = readers[0].result()
    verify(model.path, manifest.files, title="")
    # Held by the mark that is there now, and not the one it waited for.
    assert not model_cache._drop(path)


def test_who_comes_late_to_drop_a_copy_leaves_the_next_one(
    copied: Callable[..., LocalModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied().path
    models = []

    def overtaken(descriptor: int, *, wait: bool) -> bool:
        monkeypatch.setattr(model_cache, "lock", lock)
        assert model_cache._drop(path)  # by another, after the mark was opened
        models.append(copied())
        return lock(descriptor, wait=wait)

    monkeypatch.setattr(model_cache, "lock", overtaken)
    assert not model_cache._drop(path)
    assert models[0].path.is_dir()


def writing(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "model.json").write_text(text) and None


@pytest.fixture(params=["objects", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "objects": f"s3://{tmp_path}/bucket",
        "sqlite": f"sqlite:///{tmp_path}/models.db",
    }[request.param]


@pytest.fixture
def store(url: str, tmp_path: Path) -> dc.ModelStore:
    """With three versions of two bytes each, and room for two copies."""
    opened = dc.ModelStore(url, cache=tmp_path / "cache", cache_limit=4)
    for text in ("v1", "v2", "v3"):
        opened.publish("fraud", writing(text))
    return opened


def copies(tmp_path: Path) -> list[str]:
    """The versions of which there are copies."""
    return sorted(entry.name.partition("-")[0] for entry in (tmp_path / "cache").glob("*/[0-9]*"))


def age(tmp_path: Path, *versions: int, seconds: int = 3_601) -> None:
    """As if these copies were last opened some time ago, the first one earliest."""
    for later, version in enumerate(versions):
        (mark,) = (tmp_path / "cache").glob(f"*/.{version}-*.used")
        used = mark.stat().st_mtime - seconds - len(versions) + later
        os.utime(mark, (used, used))


def test_the_copy_unused_for_longest_makes_room(tmp_path: Path, store: dc.ModelStore) -> None:
    for version in (1, 2):
        assert store.get("fraud", version).path.is_dir()
    age(tmp_path, 2, 1)
    assert store.get("fraud", 3).path.is_dir()
    assert copies(tmp_path) == ["1", "3"]
    age(tmp_path, 1, 3)
    assert store.get("fraud", 1).path.is_dir()  # which makes it the last one used
    assert store.get("fraud", 2).path.is_dir()
    assert copies(tmp_path) == ["1", "2"]
    assert len(list((tmp_path / "cache").glob("*/.*.used"))) == 2


def test_a_copy_stays_for_an_hour_whatever_the_limit(tmp_path: Path, store: dc.ModelStore) -> None:
    paths = [store.get("fraud", version).path for version in (1, 2)]
    age(tmp_path, 1, 2, seconds=3_500)
    paths.append(store.get("fraud", 3).path)
    assert [(path / "model.json").read_text() for path in paths] == ["v1", "v2", "v3"]


def test_what_else_lies_in_the_folder_is_never_touched(
    tmp_path: Path, store: dc.ModelStore
) -> None:
    others = [tmp_path / "cache" / "fraud" / name for name in ("1-notes", "20240101T000000Z-1")]
    for other in others:
        other.mkdir(parents=True)
        (other / "thesis.tex").write_text("years")
        os.utime(other, (0, 0))
    for version in (1, 2, 3):
        assert store.get("fraud", version).path.is_dir()
        age(tmp_path, version)
    assert len(list((tmp_path / "cache").glob("*/.*.used"))) == 2
    assert all((other / "thesis.tex").exists() for other in others)


OPEN = """
import sys
import bucket
from data_connector import ModelStore, model_cache

store = ModelStore(sys.argv[1], cache=sys.argv[2], cache_limit=0)
"""

HOLD = f"""
{OPEN}
model = store.get("fraud", 1)
print(model.path, flush=True)
sys.stdin.readline()
print((model.path / "model.json").read_text(), flush=True)
"""


@contextmanager
def child(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_copy_that_another_process_uses_stays_until_that_ends(
    tmp_path: Path, url: str, store: dc.ModelStore
) -> None:
    tight = dc.ModelStore(url, cache=tmp_path / "cache", cache_limit=0)
    with child(HOLD, url, tmp_path / "cache") as reader:
        assert reader.stdout is not None and reader.stdin is not None
        assert Path(reader.stdout.readline().strip()).is_dir()
        age(tmp_path, 1)
        assert tight.get("fraud", 2).path.is_dir()
        assert copies(tmp_path) == ["1", "2"]
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "v1\n"
    age(tmp_path, 1, 2)
    assert tight.get("fraud", 3).path.is_dir()
    assert copies(tmp_path) == ["3"]


def test_a_copy_stays_as_long_as_this_process_has_the_model(
    tmp_path: Path, url: str, store: dc.ModelStore
) -> None:
    tight = dc.ModelStore(url, cache=tmp_path / "cache", cache_limit=0)
    model = tight.get("fraud", 1)
    assert (model.path / "model.json").read_text() == "v1"
    for version in (2, 3):
        age(tmp_path, 1)
        assert tight.get("fraud", version).path.is_dir()
    assert (model.path / "model.json").read_text() == "v1"


PUSH_OUT = f"""
{OPEN}
model_cache._LEAST_STAY = -1
for turn in range(60):
    version = (turn + int(sys.argv[3])) % 3 + 1
    model = store.get("fraud", version)
    assert (model.path / "model.json").read_text() == f"v{{version}}"
"""


def test_processes_that_push_out_each_other_s_copies_lose_none_in_use(
    tmp_path: Path, url: str, store: dc.ModelStore
) -> None:
    with ExitStack() as stack:
        readers = [
            stack.enter_context(child(PUSH_OUT, url, tmp_path / "cache", number))
            for number in range(2)
        ]
        assert [reader.wait() for reader in readers] == [0, 0]
    assert len(copies(tmp_path)) <= 2


def test_a_limit_is_no_negative_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cache_limit must not be negative, got cache_limit=-1"):
        dc.ModelStore("memory://bucket", cache=tmp_path, cache_limit=-1)
