"""Versions of a model: whole, numbered, and never changed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import data_connector as dc


def writing(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "parts").mkdir()
        (folder / "model.json").write_text(text)
        (folder / "parts" / "weights").write_text(text)

    return write


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path: Path) -> dc.ModelStore:
    return dc.ModelStore(tmp_path / "not yet" / "models")


def test_versions_count_from_one(store: dc.ModelStore) -> None:
    models = [store.publish("fraud", writing(f"model {n}")) for n in (1, 2, 3)]
    assert [model.version for model in models] == [1, 2, 3]
    assert store.list("fraud") == tuple(models)
    assert store.latest("fraud") == models[2]
    assert store.get("fraud", 2) == models[1]
    assert models[1].path == store.root / "fraud" / "2"
    assert (models[1].path / "parts" / "weights").read_text() == "model 2"
    assert store.publish("other", writing("")).version == 1


def test_the_tenth_version_follows_the_ninth(store: dc.ModelStore) -> None:
    for _ in range(10):
        store.publish("fraud", writing(""))
    assert store.latest("fraud").version == 10


@pytest.mark.parametrize("location", ["models", "file:models", "as url"])
def test_a_location_is_a_path_or_a_file_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.chdir(tmp_path)
    location = (tmp_path / "mo dels").as_uri() if location == "as url" else location
    model = dc.ModelStore(location).publish("fraud", writing("x"))
    assert model.path.is_absolute()
    assert model.path.parent.parent.parent == tmp_path
    assert dc.ModelStore(location).latest("fraud") == model


@pytest.mark.parametrize("location", ["s3://bucket/models", "https://user:s3cr3t@host/models", ""])
def test_other_locations_are_refused(location: str) -> None:
    with pytest.raises(dc.UnsupportedSourceError) as caught:
        dc.ModelStore(location)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", ".hidden", "naïve", "a\n", "x" * 101])
def test_a_name_that_is_no_folder_s_is_refused(store: dc.ModelStore, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        store.publish(name, writing(""))
    with pytest.raises(ValueError, match="name"):
        store.latest(name)
    assert not store.root.exists()


def test_what_is_missing_is_an_error_that_says_what_is_there(store: dc.ModelStore) -> None:
    with pytest.raises(dc.ModelNotFoundError, match="'fraud'.*models there: none"):
        store.latest("fraud")
    store.publish("fraud", writing(""))
    store.publish("fraud", writing(""))
    with pytest.raises(dc.ModelNotFoundError, match="'frud'.*models there: 'fraud'"):
        store.latest("frud")
    with pytest.raises(dc.ModelNotFoundError, match="version 3.*versions there: '1', '2'"):
        store.get("fraud", 3)
    assert store.list("frud") == ()


def test_a_writer_that_fails_leaves_no_version(store: dc.ModelStore) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish("fraud", fail)
    assert everything(store.root) == ["fraud/.lock"]
    assert store.publish("fraud", writing("")).version == 1


def test_an_empty_model_or_one_of_links_is_refused(store: dc.ModelStore) -> None:
    with pytest.raises(dc.WriteError, match="empty"):
        store.publish("fraud", lambda folder: (folder / "parts").mkdir())
    with pytest.raises(dc.WriteError, match="plain files only, got link"):
        store.publish("fraud", lambda folder: (folder / "link").symlink_to("/etc/passwd"))
    assert store.list("fraud") == ()


def test_files_of_a_version_lose_the_right_to_be_written(store: dc.ModelStore) -> None:
    model = store.publish("fraud", writing(""))
    for path in model.path.rglob("*"):
        if path.is_file():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o222


def test_nobody_sees_a_model_in_the_making(store: dc.ModelStore) -> None:
    seen = []

    def write(folder: Path) -> None:
        (folder / "model.json").write_text("")
        seen.append(store.list("fraud"))

    store.publish("fraud", write)
    assert seen == [()]


def test_publishers_at_once_all_succeed_with_versions_of_their_own(store: dc.ModelStore) -> None:
    together = threading.Barrier(8, timeout=30)

    def publish(n: int) -> tuple[int, str]:
        def write(folder: Path) -> None:
            writing(str(n))(folder)
            together.wait()

        model = store.publish("fraud", write)
        return model.version, (model.path / "model.json").read_text()

    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(publish, range(8)))
    assert sorted(version for version, _ in published) == list(range(1, 9))
    assert sorted(text for _, text in published) == [str(n) for n in range(8)]


PUBLISH = """
import sys
from data_connector import ModelStore

def write(folder):
    print("ready", flush=True)
    sys.stdin.readline()
    (folder / "model.json").write_text(sys.argv[2])

print(ModelStore(sys.argv[1]).publish("fraud", write).version)
"""


def test_processes_at_once_all_succeed_too(store: dc.ModelStore) -> None:
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PUBLISH, str(store.root), str(n)],
                    env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for n in range(3)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        # All are inside of `write`; none has a version yet.
        versions = [child.communicate("\n")[0].strip() for child in children]
    assert sorted(versions) == ["1", "2", "3"]
    texts = [(model.path / "model.json").read_text() for model in store.list("fraud")]
    assert sorted(texts) == ["0", "1", "2"]


PUBLISH_HALF = """
import sys
from data_connector import ModelStore

def write(folder):
    (folder / "half").write_text("half a model")
    stop_here()

ModelStore(sys.argv[1]).publish("fraud", write)
"""


def test_a_killed_publisher_leaves_no_version_and_its_leftover_goes_with_the_next(
    store: dc.ModelStore, killed: Callable[..., None]
) -> None:
    killed(PUBLISH_HALF, store.root)
    assert any(name.endswith("half") for name in everything(store.root))
    assert store.list("fraud") == ()
    assert store.publish("fraud", writing("")).version == 1
    assert everything(store.root) == ["fraud/.lock", "fraud/1/model.json", "fraud/1/parts/weights"]


def test_the_folder_of_a_publisher_at_work_is_left_alone(store: dc.ModelStore) -> None:
    def write(folder: Path) -> None:
        (folder / "slow").write_text("")
        assert store.publish("fraud", writing("quick")).version == 1

    assert store.publish("fraud", write).version == 2
    assert everything(store.root / "fraud" / "2") == ["slow"]


FILL_DISK = """
import os
from data_connector import DiskFullError, ModelStore

store = ModelStore("models")
store.publish("fraud", lambda folder: (folder / "weights").write_bytes(b"small"))
try:
    store.publish("fraud", lambda folder: (folder / "weights").write_bytes(bytes(4_000_000)))
except DiskFullError as error:
    print(error)
print(store.latest("fraud").version, sorted(os.listdir("models/fraud")))
"""


def test_a_full_disk_is_named_and_nothing_is_kept(
    tmp_path: Path, small_disk: Callable[[str], str]
) -> None:
    message, kept = small_disk(FILL_DISK).splitlines()
    assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
    assert kept == "1 ['.lock', '1']"
