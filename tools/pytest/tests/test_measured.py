"""Under `bazel coverage` the lines that a test runs are written down, children's too."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """\
import sys


def here():
    return 1


def in_a_child():
    return 2


def never():
    return 3


@compiled
def to_machine_code():
    return 4
"""
MODULE = MODULE.replace("@compiled", "compiled = lambda f: f\n\n\n@compiled")

TEST = """\
import subprocess, sys
import module


def test_it():
    assert module.here() == 1
    child = "import module; module.in_a_child()"
    subprocess.run([sys.executable, "-c", child], check=True, env=None)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "module.py").write_text(MODULE)
    (tmp_path / "unused.py").write_text("import gone\n")
    (tmp_path / "test_it.py").write_text(TEST)
    (tmp_path / "manifest").write_text("module.py\nunused.py\nother.cc\n")
    (tmp_path / "tools").symlink_to(Path("tools").absolute())
    return tmp_path


def run(workspace: Path, **environment: str) -> None:
    (workspace / "tmp").mkdir()
    # The runner's own folder first, as Bazel has it, then the workspace.
    done = subprocess.run(
        [sys.executable, "tools/pytest/runner.py", "test_it.py", "-p", "no:cacheprovider"],
        cwd=workspace,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(workspace), *sys.path]),
            "TEST_TMPDIR": str(workspace / "tmp"),
            "XML_OUTPUT_FILE": str(workspace / "test.xml"),
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    importlib.util.find_spec("coverage") is None, reason="only `bazel coverage` depends on it"
)
def test_the_lines_of_the_test_and_its_children_are_measured(workspace: Path) -> None:
    run(
        workspace,
        COVERAGE="1",
        COVERAGE_DIR=str(workspace),
        COVERAGE_MANIFEST=str(workspace / "manifest"),
    )
    text = MODULE.split("\n")
    ran = {
        text[int(line) - 1].strip(): count == "1"
        for entry in (workspace / "python.dat").read_text().split("end_of_record")[0].split("\n")
        if entry.startswith("DA:")
        for line, count in [entry.removeprefix("DA:").split(",")]
    }
    assert ran["return 1"]
    assert ran["return 2"]
    assert not ran["return 3"]
    assert "return 4" not in ran
    assert "SF:unused.py\nDA:1,0\nend_of_record" in (workspace / "python.dat").read_text()


def test_without_bazel_coverage_nothing_is_measured(workspace: Path) -> None:
    run(workspace, COVERAGE_DIR="", COVERAGE="0")
    assert not (workspace / "python.dat").exists()
    assert not (workspace / "tmp/coverage").exists()
