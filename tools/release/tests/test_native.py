"""Wheels with machine code, made from git: one for each processor, the same bytes each time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tools.python_environment.elf import processor
from tools.release.errors import ReleaseError
from tools.release.git import Git
from tools.release.native import FLAGS
from tools.release.projects import read_projects
from tools.release.store import checksums, wheels_at
from tools.release.tests.throwaway import FILES, commit, git, repository
from tools.wheel.installed import install
from tools.wheel.tests.tree import ROOT, files_of, wheel_of

NATIVE = '\n[tool.release]\nnative = { "lib_a/sum.so" = ["native/sum.cc"] }\n'
SUM = 'extern "C" int sum(int one, int other) { return one + other; }\n'
USE = (
    "import ctypes, pathlib, lib_a\n"
    "library = ctypes.CDLL(str(pathlib.Path(lib_a.__file__).parent / 'sum.so'))\n"
    "print(library.sum(2, 3))"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A repository whose library has machine code, with a tag on its first state."""
    root = repository(tmp_path_factory.mktemp("native") / "repository")
    files = {
        FLAGS: Path(FLAGS).read_text(),
        "lib/pyproject.toml": FILES["lib/pyproject.toml"] + NATIVE,
        "lib/native/sum.cc": SUM,
    }
    commit(root, files)
    git(root, "tag", "first")
    return root


def made(root: Path, out: Path, state: str = "first") -> list[Path]:
    out.mkdir()
    (library, _) = read_projects(root)
    return wheels_at(Git(root), state, library, out)


def test_there_is_a_wheel_for_each_processor_with_its_code(root, tmp_path):
    wheels = made(root, tmp_path / "wheels")
    name = "lib_a-0.0.0-py3-none-manylinux_2_17"
    assert [wheel.name for wheel in wheels] == [f"{name}_aarch64.whl", f"{name}_x86_64.whl"]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            assert wheel.name.endswith(f"_{processor(archive.read('lib_a/sum.so'))}.whl")
            assert not [name for name in archive.namelist() if "native" in name]


def test_pip_takes_the_one_of_this_machine_and_it_runs(root, tmp_path):
    made(root, tmp_path / "wheels")
    environment = install(tmp_path / "environment", tmp_path / "wheels", ["lib-a"])
    done = environment.run("python", "-c", USE)
    assert (done.stdout.strip(), done.stderr) == ("5", "")


def test_the_bytes_are_those_of_the_state_whatever_came_after(root, tmp_path):
    before = checksums(made(root, tmp_path / "before"))
    commit(root, {"lib/native/sum.cc": SUM.replace("+", "-"), FLAGS: "TARGETS = {}\n"})
    assert checksums(made(root, tmp_path / "after")) == before


@pytest.mark.parametrize("folder", ["connectors", "ml"])
def test_a_release_of_this_tree_has_the_wheel_that_bazel_built(tmp_path, folder):
    files = {f"{folder}/{name}": content for name, content in files_of(folder).items()}
    texts = {name: text.decode() for name, text in files.items() if not name.endswith(".so")}
    native = sorted((ROOT / folder / "native").iterdir())
    sources = [FLAGS, "LICENSE", *(f"{folder}/native/{source.name}" for source in native)]
    root = repository(tmp_path / "repository")
    commit(root, texts | {source: (ROOT / source).read_text() for source in sources})
    (project,) = (it for it in read_projects(root) if it.folder == folder)
    (tmp_path / "wheels").mkdir()
    released = checksums(wheels_at(Git(root), "HEAD", project, tmp_path / "wheels"))
    assert checksums([wheel_of(folder)]).items() <= released.items()


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"lib/native/sum.cc": "int sum(\n"}, "the machine code of lib: for aarch64: .*error"),
        ({FLAGS: "FLAGS = []\n"}, "the machine code of lib: flags.bzl assigns no TARGETS"),
        (
            {"lib/pyproject.toml": f"{FILES['lib/pyproject.toml']}{NATIVE}".replace("sum.cc", "x")},
            "has no lib/native/x, of which machine code is compiled",
        ),
    ],
)
def test_what_makes_no_wheel_is_told(root, tmp_path, files, told):
    git(root, "checkout", "--quiet", "--detach", "first")
    commit(root, files)
    with pytest.raises(ReleaseError, match=f"(?s){told}"):
        made(root, tmp_path / "wheels", "HEAD")
