"""A model's files on this machine: damage is found by name, and copies are whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_connector.errors import CorruptSourceError
from data_connector.model_catalogue import ModelFile
from data_connector.model_files import cached, measure, settle, verify


def write(folder: Path, text: str = "12345") -> None:
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "weights").write_text(text)
    (folder / "model.json").write_text("{}")


def write_into(folder: Path, text: str = "12345") -> None:
    folder.rmdir()
    write(folder, text)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def files(model: Path) -> dict[str, ModelFile]:
    return settle(model)


def replace(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def hide(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda m: replace(m / "parts/weights", "12346"), "'parts/weights' .*was altered"),
        (lambda m: replace(m / "parts/weights", "123"), "'parts/weights' .*has 3 bytes, not the 5"),
        (lambda m: (m / "parts/weights").unlink(), "'parts/weights' .*is missing"),
        (lambda m: (m / "parts/more").touch(), "'parts/more' .*does not belong to it"),
        (lambda m: hide(m / "parts"), "'elsewhere/weights' .*does not belong to it"),
        (lambda m: m.rename(m.with_name("gone")), "'model.json' .*is missing"),
    ],
)
def test_damage_is_told_by_the_file_s_name(
    model: Path, files: dict[str, ModelFile], damage: Callable[[Path], None], problem: str
) -> None:
    verify(model, files, title="version 1")
    damage(model)
    with pytest.raises(CorruptSourceError, match=f"^version 1: file {problem}.*; restore it"):
        verify(model, files, title="version 1")


def test_files_without_a_checksum_are_checked_by_their_size(model: Path) -> None:
    files = measure(model)
    assert files["parts/weights"] == ModelFile(size=5, sha256=None)
    replace(model / "parts/weights", "54321")
    verify(model, files, title="")
    replace(model / "parts/weights", "5432")
    with pytest.raises(CorruptSourceError, match="has 4 bytes, not the 5"):
        verify(model, files, title="")


def test_a_model_is_downloaded_once(tmp_path: Path, files: dict[str, ModelFile]) -> None:
    downloads = []

    def download(folder: Path) -> None:
        downloads.append(folder)
        write_into(folder)

    for _ in range(2):
        path = cached(tmp_path / "cache", "1-abc", files, download, title="")
        assert path == tmp_path / "cache" / "1-abc"
        verify(path, files, title="")
    assert len(downloads) == 1


def test_a_damaged_copy_is_downloaded_again(tmp_path: Path, files: dict[str, ModelFile]) -> None:
    folder = tmp_path / "cache"
    path = cached(folder, "1", files, write_into, title="")
    replace(path / "model.json", "[]")
    assert cached(folder, "1", files, write_into, title="") == path
    assert (path / "model.json").read_text() == "{}"
    assert sorted(entry.name for entry in folder.iterdir()) == [".lock", "1"]


def test_a_damaged_download_is_an_error_and_not_kept(
    tmp_path: Path, files: dict[str, ModelFile]
) -> None:
    folder = tmp_path / "cache"
    with pytest.raises(CorruptSourceError, match="'parts/weights' .*was altered"):
        cached(folder, "1", files, lambda f: write_into(f, "54321"), title="")
    assert [entry.name for entry in folder.iterdir()] == [".lock"]


def test_readers_at_once_share_one_copy(tmp_path: Path, files: dict[str, ModelFile]) -> None:
    together = threading.Barrier(4, timeout=30)

    def download(folder: Path) -> None:
        write_into(folder)
        together.wait()

    def read(_: int) -> Path:
        return cached(tmp_path / "cache", "1", files, download, title="")

    with ThreadPoolExecutor(4) as pool:
        (path,) = set(pool.map(read, range(4)))
    verify(path, files, title="")
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".lock", "1"]
