"""The list of the tree's files that each build is told."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path("tools/tree/status.sh")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small workspace with its own copy of the script."""
    (tmp_path / "tools/tree").mkdir(parents=True)
    shutil.copy(SCRIPT.resolve(), tmp_path / "tools/tree/status.sh")
    (tmp_path / "a file.py").touch()
    (tmp_path / "50%.md").touch()
    (tmp_path / "straße.md").touch()
    return tmp_path


def status(tree: Path) -> str:
    script = tree / "tools/tree/status.sh"
    return subprocess.run([script], capture_output=True, text=True, check=True).stdout


def git(tree: Path, *arguments: str) -> None:
    subprocess.run(["/usr/bin/git", "-C", tree, *arguments], check=True, capture_output=True)


ALL = "STABLE_TREE 50%25.md a%20file.py straße.md tools/tree/status.sh\n"


def test_all_files_are_listed_where_git_does_not_know_the_tree(tree: Path) -> None:
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__/a.pyc").touch()
    assert status(tree) == ALL


@pytest.mark.skipif(not Path("/usr/bin/git").exists(), reason="git is not installed")
def test_git_s_files_are_listed_new_ones_too_and_removed_and_ignored_ones_not(tree: Path) -> None:
    git(tree, "init")
    (tree / "gone.py").touch()
    git(tree, "add", "gone.py")
    (tree / "gone.py").unlink()
    (tree / ".git/info/exclude").write_text("*.pyc\n")
    (tree / "a.pyc").touch()
    assert status(tree) == ALL
