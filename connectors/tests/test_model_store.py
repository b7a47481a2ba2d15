"""Versions of a model: whole, numbered, and never changed. One suite for all kinds of stores."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import bucket  # noqa: F401 - registers s3://
import pytest

import data_connector as dc
from data_connector.errors import AliasConflictError

KINDS = ("directory", "objects", "sqlite", "postgresql")


def writing(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "parts").mkdir()
        (folder / "model.json").write_text(text)
        (folder / "parts" / "weights").write_text(text)

    return write


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return {
        "directory": str(tmp_path / "not yet" / "models"),
        "objects": f"s3://{tmp_path}/not yet/models",
        "sqlite": f"sqlite:///{tmp_path}/models.db",
    }[request.param]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(url: str, cache: Path) -> dc.ModelStore:
    return dc.ModelStore(url, cache=cache)


def test_versions_count_from_one(store: dc.ModelStore) -> None:
    models = [store.publish("fraud", writing(f"model {n}")) for n in (1, 2, 3)]
    assert [model.version for model in models] == [1, 2, 3]
    assert store.list("fraud") == tuple(models)
    assert store.latest("fraud") == models[2]
    assert store.get("fraud", 2) == models[1]
    assert store.publish("other", writing("")).version == 1
    assert store.names() == ("fraud", "other")


def test_the_tenth_version_follows_the_ninth(store: dc.ModelStore) -> None:
    for _ in range(10):
        store.publish("fraud", writing(""))
    assert store.latest("fraud").version == 10


def test_the_files_come_back_as_they_were(store: dc.ModelStore) -> None:
    contents = {"empty": b"", "large": os.urandom(2_500_000), "a #1 [b]*?%20.bin": b"\0\xff"}

    def write(folder: Path) -> None:
        for name, content in contents.items():
            (folder / name).write_bytes(content)

    for path in (store.publish("fraud", write).path, store.get("fraud", 1).path):
        assert path.is_absolute()
        assert {file.name: file.read_bytes() for file in path.iterdir()} == contents


def test_a_version_tells_its_metrics_time_and_files(url: str, store: dc.ModelStore) -> None:
    metrics = {"average_precision": 0.1 + 0.2, "epochs": 7, "data": "2018-07 \N{SNOWMAN}"}
    before = datetime.now(UTC)
    published = store.publish("fraud", writing("four"), metrics=metrics)
    (model,) = dc.ModelStore(url).list("fraud")
    assert model == published
    assert model.metrics == metrics
    assert before <= model.published_at <= datetime.now(UTC)
    assert model.size == 8
    assert sorted(model.files) == ["model.json", "parts/weights"]
    assert model.files["model.json"].sha256 == sha256(b"four").hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [1], b"x"])
def test_a_metric_that_is_no_number_or_text_is_refused(store: dc.ModelStore, value: object) -> None:
    with pytest.raises(ValueError, match="'average_precision' must be a finite number"):
        store.publish("fraud", writing(""), metrics={"average_precision": value})  # type: ignore[dict-item]
    assert store.names() == ()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", ".hidden", "naïve", "a\n", "x" * 101])
def test_a_name_that_is_no_folder_s_is_refused(
    store: dc.ModelStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match="name"):
        store.publish(name, writing(""))
    with pytest.raises(ValueError, match="name"):
        store.latest(name)
    with pytest.raises(ValueError, match="alias"):
        store.set_alias("fraud", name, 1)
    assert list(tmp_path.iterdir()) == []


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
    assert store.aliases("frud") == {}
    assert store.collect_garbage("frud", keep_last=1) == ()


def test_a_writer_that_fails_leaves_no_version(store: dc.ModelStore) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish("fraud", fail)
    assert store.list("fraud") == ()
    assert store.publish("fraud", writing("")).version == 1


def test_an_empty_model_or_one_of_links_is_refused(store: dc.ModelStore) -> None:
    def link_to(target: str) -> Callable[[Path], None]:
        return lambda folder: (folder / "link").symlink_to(target)

    with pytest.raises(dc.WriteError, match="empty"):
        store.publish("fraud", lambda folder: (folder / "parts").mkdir())
    with pytest.raises(dc.WriteError, match="plain files only, got link"):
        store.publish("fraud", link_to("/etc/passwd"))
    with pytest.raises(dc.WriteError, match="plain files only, got link"):
        store.publish("fraud", link_to("/etc"))
    with pytest.raises(dc.WriteError, match=r"printable name, got 'a\\nb'"):
        store.publish("fraud", lambda folder: (folder / "a\nb").touch())
    assert store.list("fraud") == ()


def test_nobody_sees_a_model_in_the_making(store: dc.ModelStore) -> None:
    seen = []

    def write(folder: Path) -> None:
        (folder / "model.json").write_text("")
        seen.append(store.list("fraud"))

    store.publish("fraud", write)
    assert seen == [()]


def test_a_slow_publisher_is_left_alone_by_a_quick_one(store: dc.ModelStore) -> None:
    def write(folder: Path) -> None:
        (folder / "slow").write_text("")
        assert store.publish("fraud", writing("quick")).version == 1

    model = store.publish("fraud", write)
    assert model.version == 2
    assert list(model.files) == ["slow"]


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


OPEN = """
import sys
from data_connector import ModelStore

import bucket
store = ModelStore(sys.argv[1], cache=sys.argv[2])
"""

PUBLISH = f"""
{OPEN}
def write(folder):
    print("ready", flush=True)
    sys.stdin.readline()
    (folder / "model.json").write_text(sys.argv[3])

print(store.publish("fraud", write).version)
"""


def test_processes_at_once_all_succeed_too(url: str, cache: Path, store: dc.ModelStore) -> None:
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PUBLISH, url, str(cache), str(n)],
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
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        versions = [child.communicate()[0].strip() for child in children]
    assert sorted(versions) == ["1", "2", "3"]
    texts = [(model.path / "model.json").read_text() for model in store.list("fraud")]
    assert sorted(texts) == ["0", "1", "2"]


def test_an_alias_points_to_a_version_until_it_is_moved(
    url: str, cache: Path, store: dc.ModelStore
) -> None:
    one, two = (store.publish("fraud", writing(text)) for text in "12")
    store.set_alias("fraud", "champion", 1)
    store.set_alias("fraud", "challenger", 2)
    other = dc.ModelStore(url, cache=cache)
    assert other.aliases("fraud") == {"challenger": 2, "champion": 1}
    assert other.resolve("fraud", "champion") == one
    assert (other.resolve("fraud", "champion").path / "model.json").read_text() == "1"
    other.set_alias("fraud", "champion", 2)
    other.set_alias("fraud", "challenger", None)
    assert store.resolve("fraud", "champion") == two
    assert store.aliases("fraud") == {"champion": 2}


def test_an_alias_that_is_missing_or_would_point_nowhere_is_an_error(store: dc.ModelStore) -> None:
    with pytest.raises(dc.ModelNotFoundError, match="no version 1.*versions there: none"):
        store.set_alias("fraud", "champion", 1)
    store.publish("fraud", writing(""))
    store.set_alias("fraud", "challenger", 1)
    with pytest.raises(dc.ModelNotFoundError, match="'champion'.*aliases there: 'challenger'"):
        store.resolve("fraud", "champion")


def test_an_alias_that_is_elsewhere_than_expected_stays(store: dc.ModelStore) -> None:
    for text in "12":
        store.publish("fraud", writing(text))
    store.set_alias("fraud", "champion", 1, expected=None)
    store.set_alias("fraud", "champion", 2, expected=1)
    for expected, text in ((1, "version 2, not to version 1"), (None, "not to no version")):
        with pytest.raises(AliasConflictError, match=text) as caught:
            store.set_alias("fraud", "champion", 1, expected=expected)
        assert caught.value.current == 2
    assert store.aliases("fraud") == {"champion": 2}


def test_of_promoters_at_once_one_succeeds(store: dc.ModelStore) -> None:
    for text in "1234":
        store.publish("fraud", writing(text))
    together = threading.Barrier(4, timeout=30)

    def promote(version: int) -> int | None:
        together.wait()
        try:
            store.set_alias("fraud", "champion", version, expected=None)
        except AliasConflictError:
            return None
        return version

    with ThreadPoolExecutor(4) as pool:
        (winner,) = filter(None, pool.map(promote, (1, 2, 3, 4)))
    assert store.aliases("fraud") == {"champion": winner}


def test_old_versions_go_but_for_those_with_an_alias(url: str, store: dc.ModelStore) -> None:
    for text in "12345":
        store.publish("fraud", writing(text))
    store.set_alias("fraud", "champion", 2)
    assert store.collect_garbage("fraud", keep_last=2) == (1, 3)
    assert [model.version for model in store.list("fraud")] == [2, 4, 5]
    assert store.collect_garbage("fraud", keep_last=2) == ()
    with pytest.raises(dc.ModelNotFoundError, match="versions there: '2', '4', '5'"):
        store.get("fraud", 3)
    with pytest.raises(ValueError, match="keep_last must be positive, got keep_last=0"):
        store.collect_garbage("fraud", keep_last=0)
    assert [(m.path / "model.json").read_text() for m in store.list("fraud")] == ["2", "4", "5"]
    assert store.publish("fraud", writing("6")).version == 6
    assert dc.ModelStore(url).latest("fraud").version == 6


def test_a_reader_keeps_the_files_that_it_has_open(store: dc.ModelStore) -> None:
    model = store.publish("fraud", writing("first"))
    with (model.path / "model.json").open() as file:
        store.publish("fraud", writing("second"))
        assert store.collect_garbage("fraud", keep_last=1) == (1,)
        assert file.read() == "first"


def test_a_version_removed_before_it_is_opened_is_told_from_a_damaged_one(
    store: dc.ModelStore,
) -> None:
    store.publish("fraud", writing("first"))
    model = store.get("fraud", 1)
    store.publish("fraud", writing("second"))
    store.collect_garbage("fraud", keep_last=1)
    with pytest.raises(dc.ModelNotFoundError, match="removed since it was looked up: take the"):
        _ = model.path


def test_readers_publishers_and_collectors_at_once_see_whole_models(
    url: str, tmp_path: Path, store: dc.ModelStore
) -> None:
    store.publish("fraud", writing("0"))
    done = threading.Event()

    def read(number: int) -> int:
        seen = 0
        while not done.is_set() or not seen:
            reader = dc.ModelStore(url, cache=tmp_path / f"cache {number}")
            try:
                path = reader.latest("fraud").path
                assert (path / "model.json").read_text() == (path / "parts/weights").read_text()
            except (dc.ModelNotFoundError, FileNotFoundError):
                continue  # a newer one took its place: so the next is tried
            seen += 1
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read, number) for number in range(2)]
        try:
            for n in range(1, 11):
                store.publish("fraud", writing(str(n)))
                store.collect_garbage("fraud", keep_last=1)
        finally:
            done.set()
        assert all(reader.result() for reader in readers)
    assert [model.version for model in store.list("fraud")] == [11]


STOPS = {
    "directory": (
        "data_connector.model_store, 'settle'",
        "data_connector.model_store_directory, '_write'",
        "pathlib.Path, 'rename'",
    ),
    "objects": (
        "fsspec.get_filesystem_class('s3'), 'put_file'",
        "fsspec.get_filesystem_class('s3'), 'pipe_file'",
    ),
    "sqlite": ("data_connector.model_store_sql, '_store'",),
    "postgresql": ("data_connector.model_store_sql, '_store'",),
}
REMOVALS = {
    "directory": STOPS["directory"][1:],
    "objects": (STOPS["objects"][1], "fsspec.get_filesystem_class('s3'), 'rm_file'"),
    "sqlite": STOPS["sqlite"],
    "postgresql": STOPS["postgresql"],
}

STOPPING = f"""
{OPEN}
import fsspec, pathlib
import data_connector.model_store, data_connector.model_store_sql
import data_connector.model_store_directory

def stop(owner, name, when):
    original = getattr(owner, name)

    def stopping(*arguments, **options):
        if when == "before":
            stop_here()
        result = original(*arguments, **options)
        stop_here()
        return result

    setattr(owner, name, stopping)

"""
PUBLISH_AND_STOP = """
stop({stop}, {when!r})
store.publish(
    "fraud", lambda folder: (folder / "model.json").write_text("killed"), metrics={{"loss": 2}}
)
"""
COLLECT_AND_STOP = """
stop({stop}, {when!r})
store.collect_garbage("fraud", keep_last=1)
"""


def stops(by_kind: dict[str, tuple[str, ...]]) -> list[object]:
    return [
        pytest.param(kind, stop, when, id=f"{kind}-{stop.split(chr(39))[-2]}-{when}")
        for kind, places in by_kind.items()
        for stop in places
        for when in ("before", "after")
    ]


@pytest.mark.parametrize(("url", "stop", "when"), stops(STOPS), indirect=["url"])
def test_a_publisher_killed_at_any_step_leaves_a_store_that_works(
    url: str, cache: Path, store: dc.ModelStore, stop: str, when: str, killed: Callable[..., None]
) -> None:
    store.publish("fraud", writing("first"))
    killed(STOPPING + PUBLISH_AND_STOP.format(stop=stop, when=when), url, cache)
    there = [((m.path / "model.json").read_text(), m.metrics) for m in store.list("fraud")]
    assert there in ([("first", {})], [("first", {}), ("killed", {"loss": 2})])
    model = store.publish("fraud", writing("next"))
    assert model.version in (len(there) + 1, 3)
    assert store.latest("fraud") == model
    store.set_alias("fraud", "champion", model.version)
    store.collect_garbage("fraud", keep_last=1)
    assert store.list("fraud") == (model,)
    assert (store.resolve("fraud", "champion").path / "model.json").read_text() == "next"


@pytest.mark.parametrize(("url", "stop", "when"), stops(REMOVALS), indirect=["url"])
def test_a_collector_killed_at_any_step_leaves_a_store_that_works(
    url: str, cache: Path, store: dc.ModelStore, stop: str, when: str, killed: Callable[..., None]
) -> None:
    for text in "123":
        store.publish("fraud", writing(text))
    killed(STOPPING + COLLECT_AND_STOP.format(stop=stop, when=when), url, cache)
    models = store.list("fraud")
    texts = [(model.path / "model.json").read_text() for model in models]
    assert texts == [str(model.version) for model in models]
    assert texts[-1] == "3"
    assert store.publish("fraud", writing("4")).version == 4
    store.collect_garbage("fraud", keep_last=1)
    assert [model.version for model in store.list("fraud")] == [4]


FILL_DISK = """
from data_connector import DiskFullError, ModelStore

store = ModelStore({url!r}, cache={cache!r})
store.publish("fraud", lambda folder: (folder / "weights").write_bytes(b"small"))
try:
    store.publish("fraud", lambda folder: (folder / "weights").write_bytes(bytes(4_000_000)))
except DiskFullError as error:
    print(error)
(model,) = store.list("fraud")
print(model.version, (model.path / "weights").read_bytes())
print(store.publish("fraud", lambda folder: (folder / "weights").write_bytes(b"more")).version)
"""


@pytest.mark.parametrize(
    ("place", "elsewhere"),
    [("models", "unused"), ("sqlite:///models.db", "../cache"), ("sqlite:///models.db", "cache")],
)
def test_a_full_disk_is_named_and_nothing_is_kept(
    tmp_path: Path, small_disk: Callable[[str], str], place: str, elsewhere: str
) -> None:
    # The script's working directory is the small disk.
    message, kept, after = small_disk(FILL_DISK.format(url=place, cache=elsewhere)).splitlines()
    assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
    assert kept == "1 b'small'"
    assert after == "2"


def test_the_url_may_be_kept_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'models.db'}"
    monkeypatch.setenv("MODELS", url)
    kept = dc.ModelStore("env:MODELS", cache=tmp_path)
    kept.publish("fraud", lambda folder: (folder / "model.json").touch())
    assert dc.ModelStore(url, cache=tmp_path).names() == ("fraud",)
