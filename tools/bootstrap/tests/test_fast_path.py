"""What a command pays for `bazelw` once all is decided."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.bootstrap.tests.conftest import ROOT, World

SOURCES = [ROOT / "bazelw", *sorted((ROOT / "tools/bootstrap").rglob("*.py"))]
# Besides what Python imports to start at all.
ALLOWED = {"__future__", "zlib", "_signal", "tools", "tools.bootstrap", "tools.bootstrap.launch"}


def imports(command: list[str], env: dict[str, str]) -> set[str]:
    """The modules that Python imports to run `command`."""
    python = [sys.executable, "-ISB", "-X", "importtime", *command]
    told = subprocess.run(python, env=env, capture_output=True, text=True, check=True).stderr
    lines = [line for line in told.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


@pytest.mark.parametrize("origin", ["FRAUD_BAZEL", "PATH", "Debian"])
def test_a_decided_command_imports_next_to_nothing(debian: World, origin: str) -> None:
    if origin == "FRAUD_BAZEL":
        debian.env["FRAUD_BAZEL"] = str(debian.bazel("mine"))
    elif origin == "PATH":
        debian.bazel()
    assert debian.run("build").returncode == 0
    base = imports(["-c", "import os"], debian.env)
    assert imports([str(debian.bazelw), "build"], debian.env) - base <= ALLOWED


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_source_is_python_3_9(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 9))


def test_the_entry_point_can_tell_an_old_python_that_it_is_too_old() -> None:
    ast.parse((ROOT / "bazelw").read_text(), feature_version=(3, 5))
