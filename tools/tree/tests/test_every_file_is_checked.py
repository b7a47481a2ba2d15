"""No Python or BUILD file of the tree is left out by the checks of its project."""

import re
from pathlib import Path

import pytest

from tools.tree.listed import listed

# Tests and benchmarks are linted and formatted; types are for what others build on. A test's own
# functions are untyped in this repository, and mypy's strict mode would refuse each of them.
UNTYPED = re.compile(r"(^|/)(tests|bench)/|(^|/)(test_[^/]*|conftest)\.py$")

# A program that a shell or a kernel starts by name has no ending.
PYTHON_WITHOUT_ENDING = {"bazelw"}

# What runs on a cluster's scheduler, with packages that this repository does not have.
ELSEWHERE = {"batch/schedule/fraud_detect_dag.py"}

BUILD_FILES = {"BUILD.bazel", "BUILD", "MODULE.bazel", "WORKSPACE"}


@pytest.fixture(scope="module")
def tree() -> list[str]:
    return listed(Path("tools/tree/files.txt"))


def left_out(files: list[str], group: str) -> list[str]:
    """Those files that a project's `checks` in its BUILD.bazel do not name."""
    return sorted(set(files) - set(listed(Path(f"tools/tree/{group}.txt"))))


def is_python(path: str) -> bool:
    return path.endswith((".py", ".pyi")) or path in PYTHON_WITHOUT_ENDING


def test_the_tree_is_listed(tree: list[str]) -> None:
    assert {"bazelw", "tools/tree/status.sh", "ml/fraud_ml/features.py"} <= set(tree)


def test_every_python_file_is_linted_and_formatted(tree: list[str]) -> None:
    assert left_out([path for path in tree if is_python(path)], "checked") == []


def test_every_build_file_is_linted_and_formatted(tree: list[str]) -> None:
    files = [path for path in tree if path.endswith(".bzl") or Path(path).name in BUILD_FILES]
    assert len(files) > 30
    assert left_out(files, "checked") == []


def test_types_are_checked_of_every_python_file_but_tests_and_benchmarks(tree: list[str]) -> None:
    typed = [path for path in tree if is_python(path) and not UNTYPED.search(path)]
    wanted = set(typed) - PYTHON_WITHOUT_ENDING - ELSEWHERE
    assert left_out(sorted(wanted), "checked_types") == []


def test_the_exceptions_are_of_files_that_there_are(tree: list[str]) -> None:
    assert set(tree) >= PYTHON_WITHOUT_ENDING | ELSEWHERE


def test_what_is_checked_is_in_the_tree(tree: list[str]) -> None:
    assert set(listed(Path("tools/tree/checked.txt"))) <= set(tree)


def test_an_empty_list_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "files.txt").write_text("\n")
    with pytest.raises(ValueError, match="lists no file"):
        listed(tmp_path / "files.txt")
