"""A repository with two small projects, a library and an application that needs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tools.release.fragments import MARK

_DESCRIPTION = """\
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"

[project]
name = "{name}"
dynamic = ["version"]
description = "Of a test"
readme = "README.md"
license = "Apache-2.0"
requires-python = ">=3.11"
dependencies = [{needs}]

[tool.flit.module]
name = "{package}"
"""
LIBRARY = "def double(number: int, times: int = 2) -> int:\n    return number * times\n"
APPLICATION = """\
import argparse

from lib_a.work import double


def run(number: int) -> int:
    return double(number)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int)
    return parser.parse_args()
"""
FILES = {
    "LICENSE": "Do as you like.\n",
    "CHANGELOG.md": f"# Changelog\n\n{MARK}",
    "changes/start.added.md": "A repository.\n",
    "lib/pyproject.toml": _DESCRIPTION.format(name="lib-a", package="lib_a", needs=""),
    "lib/README.md": "# lib-a\n\n```python\nfrom lib_a.work import double\n\n"
    "assert double(3) == 6\n```\n",
    "lib/CHANGELOG.md": f"# Changelog of lib-a\n\n{MARK}",
    "lib/changes/double.added.md": "`double`, which doubles.\n",
    "lib/api.txt": "# Public\nlib_a\nlib_a.work\nlib_a.work.double(number, times=)\n",
    "lib/lib_a/__init__.py": '"""A library."""\n\n__version__ = "0.0.0"\n',
    "lib/lib_a/work.py": LIBRARY,
    "app/pyproject.toml": _DESCRIPTION.format(
        name="app-b", package="app_b", needs='"lib-a>=0.0.0,<0.1"'
    ),
    "app/README.md": "# app-b\n\n```python\nfrom app_b.main import run\n\n"
    "assert run(2) == 4\n```\n",
    "app/CHANGELOG.md": f"# Changelog of app-b\n\n{MARK}",
    "app/changes/run.added.md": "`run`.\n",
    "app/api.txt": "app_b\napp_b.main\n",
    "app/app_b/__init__.py": '"""An application."""\n\n__version__ = "0.0.0"\n',
    "app/app_b/main.py": APPLICATION,
}

IDENTITY = {
    "GIT_AUTHOR_EMAIL": "somebody@example.org",
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.org",
    "GIT_COMMITTER_NAME": "Somebody",
    # Nothing of the machine's own configuration.
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}
"""What git asks of the environment."""


def write(root: Path, files: dict[str, str]) -> None:
    """Files by name in the folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def git(root: Path, *arguments: str) -> str:
    """What git answers."""
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **IDENTITY},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(root: Path, files: dict[str, str]) -> None:
    """Files that are written and committed."""
    write(root, files)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "a change")


def repository(root: Path) -> Path:
    """The repository, committed."""
    root.mkdir(parents=True)
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root, FILES)
    return root
