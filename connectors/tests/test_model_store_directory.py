"""Models in a folder: its layout, versions of older releases, and what is left behind."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import data_connector as dc
from data_connector import model_store_directory


def writing(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "model.json").write_text(text) and None


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def store(root: Path) -> dc.ModelStore:
    return dc.ModelStore(root)


def publish_without_catalogue(root: Path, version: int, text: str) -> None:
    """As releases did before there were catalogues."""
    folder = root / "fraud" / str(version)
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(text)


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


def test_a_version_is_a_folder_of_its_number_and_no_copy(root: Path, store: dc.ModelStore) -> None:
    model = store.publish("fraud", writing("x"))
    assert model.path == root / "fraud" / "1"
    assert everything(root) == ["fraud/.catalogue.json", "fraud/.lock", "fraud/1/model.json"]


def test_files_of_a_version_lose_the_right_to_be_written(store: dc.ModelStore) -> None:
    model = store.publish("fraud", writing(""))
    assert not stat.S_IMODE((model.path / "model.json").stat().st_mode) & 0o222


def test_versions_of_older_releases_are_versions_without_checksums(
    root: Path, store: dc.ModelStore
) -> None:
    publish_without_catalogue(root, 1, "old")
    publish_without_catalogue(root, 3, "newer")
    old, newer = store.list("fraud")
    assert (old.version, newer.version) == (1, 3)
    assert (old.path / "model.json").read_text() == "old"
    assert (old.size, old.metrics, old.files["model.json"].sha256) == (3, {}, None)
    assert store.names() == ("fraud",)
    assert store.publish("fraud", writing("new")).version == 4
    assert store.list("fraud")[:2] == (old, newer)


def test_an_older_release_may_publish_beside_us(root: Path, store: dc.ModelStore) -> None:
    store.publish("fraud", writing("1"))
    publish_without_catalogue(root, 2, "2")
    store.set_alias("fraud", "champion", 2)
    assert store.publish("fraud", writing("3")).version == 3
    assert store.collect_garbage("fraud", keep_last=1) == (1,)
    assert [(m.path / "model.json").read_text() for m in store.list("fraud")] == ["2", "3"]


def test_a_number_does_not_return_even_if_all_versions_are_deleted_by_hand(
    root: Path, store: dc.ModelStore
) -> None:
    for text in "12":
        store.publish("fraud", writing(text))
    store.set_alias("fraud", "champion", 2)
    (root / "fraud" / "1").rename(root / "elsewhere")
    (root / "fraud" / "2").rename(root / "elsewhere too")
    assert store.list("fraud") == ()
    with pytest.raises(dc.ModelNotFoundError, match="no version 2"):
        store.resolve("fraud", "champion")
    assert store.publish("fraud", writing("3")).version == 3


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda file: file.write_text("altered"), "'model.json' .*has 7 bytes, not the 8"),
        (lambda file: file.write_text("Original"), "'model.json' .*was altered"),
        (lambda file: file.unlink(), "'model.json' .*is missing"),
        (lambda file: file.with_name("more").touch(), "'more' .*does not belong"),
    ],
)
def test_a_damaged_version_is_refused_by_the_file_s_name(
    root: Path, store: dc.ModelStore, damage: Callable[[Path], None], problem: str
) -> None:
    store.publish("fraud", writing("original"))
    file = root / "fraud" / "1" / "model.json"
    file.chmod(0o644)
    damage(file)
    model = store.latest("fraud")  # to look it up reads no files
    with pytest.raises(dc.CorruptSourceError, match=f"version 1 of model 'fraud'.*file {problem}"):
        _ = model.path
    assert store.publish("fraud", writing("next")).path.name == "2"


def test_a_damaged_catalogue_is_an_error_and_is_not_overwritten(
    root: Path, store: dc.ModelStore
) -> None:
    store.publish("fraud", writing(""))
    catalogue = root / "fraud" / ".catalogue.json"
    catalogue.write_text('{"half":')
    for act in (store.latest, lambda name: store.publish(name, writing(""))):
        with pytest.raises(dc.CorruptSourceError, match=r"\.catalogue\.json cannot be read"):
            act("fraud")
    assert catalogue.read_text() == '{"half":'


def test_a_store_without_the_right_to_be_read_is_an_error(
    monkeypatch: pytest.MonkeyPatch, store: dc.ModelStore
) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    store.publish("fraud", writing(""))
    monkeypatch.setattr(Path, "iterdir", denied)  # root, too, may run this test
    for act in (store.names, lambda: store.latest("fraud")):
        with pytest.raises(dc.SourceUnreachableError, match="may not be read: .*denied"):
            act()


def test_a_failed_writer_leaves_nothing(root: Path, store: dc.ModelStore) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish("fraud", fail)
    assert everything(root) == ["fraud/.lock"]


PUBLISH_HALF = """
import sys
from data_connector import ModelStore

def write(folder):
    (folder / "half").write_text("half a model")
    stop_here()

ModelStore(sys.argv[1]).publish("fraud", write)
"""


def test_what_a_killed_publisher_left_goes_with_the_next_or_the_collector(
    root: Path, store: dc.ModelStore, killed: Callable[..., None]
) -> None:
    for clean in (
        lambda: store.publish("fraud", writing("")),
        lambda: store.collect_garbage("fraud", keep_last=1),
    ):
        killed(PUBLISH_HALF, root)
        assert any(name.endswith("half") for name in everything(root))
        clean()
        assert everything(root) == ["fraud/.catalogue.json", "fraud/.lock", "fraud/1/model.json"]


def test_a_removed_version_is_out_of_sight_before_its_folder_is_gone(
    monkeypatch: pytest.MonkeyPatch, root: Path, store: dc.ModelStore
) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    for text in "12":
        store.publish("fraud", writing(text))
    monkeypatch.setattr(model_store_directory, "discard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.collect_garbage("fraud", keep_last=1)
    monkeypatch.undo()
    assert (root / "fraud" / "1").is_dir()
    assert [model.version for model in store.list("fraud")] == [2]
    store.collect_garbage("fraud", keep_last=1)
    assert not (root / "fraud" / "1").exists()


def test_the_files_of_removed_versions_are_gone(root: Path, store: dc.ModelStore) -> None:
    for text in "12":
        store.publish("fraud", writing(text))
    store.collect_garbage("fraud", keep_last=1)
    assert everything(root) == ["fraud/.catalogue.json", "fraud/.lock", "fraud/2/model.json"]
