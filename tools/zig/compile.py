"""Compiles a shared library outside of a build, to the bytes that the rule `zig_library` makes."""

from __future__ import annotations

import ast
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class CompileError(Exception):
    """The sources make no library; the message is the compiler's."""


def processors(flags: str) -> list[str]:
    """The processors that `flags.bzl`, of which this is the text, knows."""
    return sorted(_literal(flags, "TARGETS"))


def compile_library(flags: str, sources: Mapping[str, bytes], processor: str) -> bytes:
    """The library, compiled by the Zig that the environment's `ZIG` names.

    Args:
        flags: the text of `flags.bzl`.
        sources: contents by file name, in the order in which they are compiled.
        processor: one of :func:`processors`.

    Raises:
        CompileError: they do not compile.
    """
    zig = Path(os.environ["ZIG"]).absolute()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in sources.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        target, library = _literal(flags, "TARGETS")[processor], Path(folder, "library.so")
        cache = str(Path(folder, "cache"))
        done = subprocess.run(
            [
                *(str(zig), "c++", "-target", target, *_literal(flags, "FLAGS")),
                *("-isystem", str(zig.parent / "lib/include")),
                *("-o", str(library), *sources),
            ],
            cwd=folder,
            env={"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CompileError(f"for {processor}: {done.stderr.strip()}")
        return library.read_bytes()


def _literal(flags: str, name: str) -> Any:
    for statement in ast.parse(flags).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id)], value=value) if id == name:
                return ast.literal_eval(value)
    raise CompileError(f"flags.bzl assigns no {name}")
