"""Asking a program on PATH which Bazel it provides, and remembering the answer."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from tools.bootstrap.console import say
from tools.bootstrap.launch import BazelwError, cache_folder, question_to


def ask(program: str, wanted: str, root: str) -> str:
    """The version `program` tells, "" where it tells none; remembered from now on."""
    say(f"asking {program} for its version")
    version = version_of(program, root)
    with contextlib.suppress(BazelwError, OSError):  # no cache: ask again next time
        remember(program, wanted, version)
    return version


def version_of(program: str, root: str) -> str:
    """The version `program` tells, "" where it tells none."""
    try:
        told = subprocess.run(
            [program, "--version"],
            cwd=root,  # where Bazelisk finds .bazelversion
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    match = re.search(r"^bazel (\d\S*)", told.stdout, re.MULTILINE)
    return match[1] if match and told.returncode == 0 else ""


def remember(program: str, wanted: str, version: str) -> None:
    """Notes the answer in place of any earlier one of the same program."""
    notes = Path(cache_folder(), "versions")
    notes.parent.mkdir(parents=True, exist_ok=True)
    kept = notes.read_text().splitlines() if notes.exists() else []
    kept = [line for line in kept if not line.startswith(f"{program}\t")]
    kept.append(f"{question_to(program, wanted)}\t{version}")
    # Written aside: a command that reads meanwhile sees the old file or the new one.
    handle, aside = tempfile.mkstemp(prefix="versions.", dir=notes.parent)
    with os.fdopen(handle, "w") as lines:
        lines.writelines(f"{line}\n" for line in kept)
    Path(aside).replace(notes)
