"""`bazel query` of a tree, in a folder and with a server of our own.

The user's server and output base are left alone: nothing waits for a build that runs, and a
build does not wait for us. Nothing is fetched but what BUILD files load: packages stay labels.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.affected.errors import AffectedError
from tools.affected.graph import Graph, parse_graph
from tools.affected.trees import Trees

# A change of the options below is a change of this number: answers are kept.
FORM = 1
QUERY = (
    "query",
    "--output=streamed_jsonproto",
    "--consistent_labels",
    "--order_output=no",
    "--noshow_progress",
    "--ui_event_filters=-info",
    "--proto:rule_inputs_and_outputs",
    "--noproto:locations",
    "//...:*",
)
IDLE_SECONDS = 300  # a second question soon after is quick; memory is not kept for long
KEPT_ANSWERS = 64


def kept_folder() -> Path:
    """Where answers are kept: beside what `bazelw` keeps, one for all clones."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not cache.startswith("/"):
        home = os.environ.get("HOME", "")
        if not home.startswith("/"):
            raise AffectedError("HOME is not set: set it, or XDG_CACHE_HOME, to a writable folder")
        cache = f"{home}/.cache"
    return Path(cache, "fraud-detect", "affected")


class BazelQuery:
    """Graphs of trees; the answer for a tree is kept, for a tree never changes."""

    def __init__(self, trees: Trees, kept: Path) -> None:
        self._trees = trees
        self._kept = kept
        self._answers = kept / "graphs"
        self._answers.mkdir(parents=True, exist_ok=True)

    def graph(self, tree: str) -> Graph:
        """The graph of a tree; AffectedError with what Bazel said where it cannot be loaded."""
        answer = self._answers / f"{tree}-{FORM}.gz"
        if not answer.exists():
            with self._alone():
                if not answer.exists():  # somebody may have asked while we waited
                    self._write(answer, self._ask(tree))
        os.utime(answer)
        with gzip.open(answer, "rt", encoding="utf-8") as lines:
            return parse_graph(lines)

    def run(self, tree: str, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Runs a command of Bazel in a tree, alone."""
        with self._alone():
            return self._run(tree, *command)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """There is one folder and one server, for one question at a time."""
        with (self._kept / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ask(self, tree: str) -> bytes:
        done = self._run(tree, *QUERY)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise AffectedError(f"Bazel cannot load tree {tree[:12]}:\n{said}")
        return done.stdout

    def _run(self, tree: str, *command: str) -> subprocess.CompletedProcess[bytes]:
        folder = self._kept / "tree"
        self._trees.check_out(tree, folder)
        program = folder / "bazelw"
        if not program.exists():
            raise AffectedError(f"tree {tree[:12]} has no bazelw: it is not of this repository")
        startup = (
            f"--output_base={self._kept / 'output_base'}",
            f"--max_idle_secs={IDLE_SECONDS}",
        )
        # What `bazel run` tells a program about where it runs is not for another Bazel.
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BUILD_", "RUNFILES_", "BAZEL_", "TEST_"))
        }
        return subprocess.run(
            [program, *startup, *command], cwd=folder, env=clean, capture_output=True, check=False
        )

    def _write(self, answer: Path, content: bytes) -> None:
        aside = answer.with_suffix(".part")
        aside.write_bytes(gzip.compress(content, compresslevel=1))
        aside.replace(answer)
        by_use = sorted(self._answers.glob("*.gz"), key=lambda path: path.stat().st_mtime)
        for old in by_use[:-KEPT_ANSWERS]:
            old.unlink(missing_ok=True)
