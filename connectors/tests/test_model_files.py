"""A model's files on this machine: damage is found by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_connector.errors import CorruptSourceError
from data_connector.model_catalogue import ModelFile
from data_connector.model_files import measure, settle, verify


def write(folder: Path, text: str = "12345") -> None:
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "weights").write_text(text)
    (folder / "model.json").write_text("{}")


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
