"""The packed interpreter runs from any folder, on its own files and glibc's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tools.python_environment import elf
from tools.python_environment.interpreter import GLIBC, interpreter_files, packages_folder
from tools.python_environment.tarball import write_tarball

# Imports every extension module that is there, and tells what it runs on.
REPORT = """
import importlib, json, pathlib, sys
for path in pathlib.Path(sys.prefix).rglob("lib-dynload/*.so"):
    importlib.import_module(path.name.split(".")[0])
mapped = {line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "/" in line}
print(json.dumps({
    "prefixes": [sys.prefix, sys.exec_prefix, sys.base_prefix],
    "executable": sys.executable,
    "path": sys.path,
    "files": [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)],
    "libraries": [path for path in mapped if ".so" in path],
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter unpacked, in a folder that it is then moved from."""
    made = tmp_path_factory.mktemp("made")
    write_tarball(made / "python.tar.gz", interpreter_files())
    (made / "first").mkdir()
    subprocess.run(["tar", "-xzf", made / "python.tar.gz", "-C", made / "first"], check=True)
    moved = tmp_path_factory.mktemp("moved") / "a folder with spaces"
    (made / "first").rename(moved)
    return moved


def run(program: Path, *arguments: str, cwd: str = "/", **env: str) -> str:
    return subprocess.run(
        [program, "-B", *arguments], env=env, cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


def test_it_runs_on_its_own_files_and_glibc(folder: Path) -> None:
    report = json.loads(run(folder / "bin/python", "-c", REPORT))
    assert set(report["prefixes"]) == {str(folder)}
    assert report["executable"] == str(folder / "bin/python")
    assert all(path.startswith(f"{folder}/") for path in report["path"] if path)
    assert all(path.startswith(f"{folder}/") for path in report["files"])
    outside = {Path(path).name for path in report["libraries"] if not path.startswith(f"{folder}/")}
    assert outside <= GLIBC
    assert "libc.so.6" in outside


@pytest.mark.parametrize("name", ["python", "python3", "python3.11"])
def test_it_starts_by_every_name_from_any_folder(folder: Path, tmp_path: Path, name: str) -> None:
    relative = Path(os.path.relpath(folder / "bin" / name, tmp_path))
    code = "import ssl, sqlite3, sys; print(sys.prefix)"
    assert run(relative, "-c", code, cwd=str(tmp_path)).strip() == str(folder)


def test_packages_of_the_user_do_not_count(folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / ".local/lib/python3.11/site-packages"
    theirs.mkdir(parents=True)
    (theirs / "numpy.py").write_text("")
    path = run(folder / "bin/python", "-c", "import sys; print(sys.path)", HOME=str(tmp_path))
    assert str(tmp_path) not in path


def test_packages_are_found_where_they_are_put(folder: Path) -> None:
    ours = folder / packages_folder()
    ours.mkdir(parents=True)
    (ours / "ours.py").write_text("")
    code = "import ours; print(ours.__file__)"
    assert run(folder / "bin/python", "-c", code).strip() == str(ours / "ours.py")


def test_it_looks_in_no_folder_of_the_machine_it_was_made_on(folder: Path) -> None:
    found = {
        path.relative_to(folder): elf.search_path(path.read_bytes())
        for path in [folder / "bin/python3.11", *folder.rglob("*.so*")]
    }
    assert found.pop(Path("bin/python3.11")) == (elf.RPATH, "$ORIGIN/../lib")
    assert set(found.values()) == {None}


def test_what_a_worker_never_needs_is_left_out(folder: Path) -> None:
    library = folder / packages_folder()
    names = {path.name for path in library.parent.iterdir()}
    assert names.isdisjoint({"test", "idlelib", "tkinter", "ensurepip", "__pycache__"})
    assert {"os.py", "json", "lib-dynload"} <= names
