"""The machine code of a wheel, compiled from the sources that git has in any state."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

from tools.release.errors import ReleaseError
from tools.release.git import Git
from tools.zig.compile import CompileError, compile_library, processors

FLAGS = "tools/zig/flags.bzl"


def machine_code(git: Git, state: str, folder: str, description: bytes) -> list[dict[str, bytes]]:
    """The compiled files for each processor, by name in a project's folder; one without any else.

    Args:
        git: of the repository.
        state: a commit, tag or tree, whose sources and flags count.
        folder: of the project.
        description: its `pyproject.toml`, where `native` of `[tool.release]` names the files and
            the sources of each.

    Raises:
        ReleaseError: a source is missing, or does not compile.
    """
    table = tomllib.loads(description.decode()).get("tool", {}).get("release", {})
    parts: Mapping[str, list[str]] = table.get("native", {})
    if not parts:
        return [{}]
    flags = _read(git, state, FLAGS).decode()
    sources = {
        name: {source: _read(git, state, f"{folder}/{source}") for source in of_one}
        for name, of_one in parts.items()
    }
    try:
        return [
            {name: compile_library(flags, of_one, cpu) for name, of_one in sources.items()}
            for cpu in processors(flags)
        ]
    except CompileError as error:
        raise ReleaseError(f"the machine code of {folder}: {error}") from error


def _read(git: Git, state: str, name: str) -> bytes:
    found = git.files(state, name)
    if name not in found:
        raise ReleaseError(f"{state} has no {name}, of which machine code is compiled")
    return found[name]
