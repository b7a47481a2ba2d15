"""One Bazel command in a clone, and what it did: seconds, actions, cache hits, tests that ran."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Runners of Bazel's build metrics that stand for no work of an action.
_HIT = ("remote cache hit", "disk cache hit")
_NO_WORK = ("total", "internal", *_HIT)


SETTLING = 5
"""How often a server does something before it is as fast at it as it gets, about."""


class ReportError(Exception):
    """A measurement cannot go on; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One row of the report."""

    name: str
    seconds: float
    """From the command to its end; packages were fetched before unless the row says otherwise."""
    actions: int
    """Those that ran: compilers, checks, tests. Files that Bazel itself writes are not counted."""
    hits: int
    """Actions whose result came from the shared cache."""
    tests: tuple[str, ...]
    """Labels of the tests that ran."""
    cached_tests: int
    """Tests whose result was there, in the output or in the shared cache."""

    @property
    def hit_rate(self) -> float | None:
        """Of the actions that had to be looked up, how many were there; None where none had to."""
        looked_up = self.actions + self.hits
        return self.hits / looked_up if looked_up else None

    def as_json(self) -> dict[str, Any]:
        """What `--json` writes of it."""
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "actions": self.actions,
            "hits": self.hits,
            "hit_rate": self.hit_rate,
            "tests": list(self.tests),
            "cached_tests": self.cached_tests,
        }


class Clone:
    """A clone of the workspace with an output base, and so a Bazel server, of its own.

    Args:
        workspace: what to clone: its last commit.
        folder: made for it.
        environment: of its commands, beside that of this process.
    """

    def __init__(self, workspace: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self.tree = folder / "tree"
        self._base = folder / "output"
        self._events = folder / "events.json"
        self._environment = os.environ | environment
        folder.mkdir()
        # --no-local: its files are its own, as those of a clone from a server are.
        clone = ["git", "clone", "--quiet", "--no-local", str(workspace), str(self.tree)]
        done = subprocess.run(clone, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ReportError(f"cannot clone {workspace}: {done.stderr.strip()}")

    def bazel(self, *arguments: str) -> None:
        """Runs a command that must succeed; its output goes to standard error.

        Raises:
            ReportError: it failed.
        """
        command = ["./bazelw", f"--output_base={self._base}", *arguments]
        with subprocess.Popen(command, cwd=self.tree, env=self._environment, stdout=2) as running:
            status = running.wait()
        if status:
            raise ReportError(
                f"{' '.join(arguments)} failed with {status}: what is measured must pass; "
                "its output is above"
            )

    def measure(self, name: str, targets: Sequence[str], *options: str) -> Measured:
        """What `test` of the targets takes and does."""
        started = time.perf_counter()
        self.bazel("test", *options, f"--build_event_json_file={self._events}", "--", *targets)
        seconds = time.perf_counter() - started
        return measured(name, seconds, self._events.read_text(encoding="utf-8").splitlines())

    def measure_settled(self, name: str, targets: Sequence[str], *options: str) -> Measured:
        """The same once Bazel's server has done it a few times, and its JVM has compiled how.

        It writes no file of events meanwhile, as nobody who waits for it does; what it did is
        counted of one more run.
        """
        command = ("test", *options, "--", *targets)
        for _ in range(SETTLING):
            self.bazel(*command)
        started = time.perf_counter()
        self.bazel(*command)
        seconds = time.perf_counter() - started
        return replace(self.measure(name, targets, *options), seconds=seconds)

    def edit(self, file: str) -> None:
        """Adds a line to a source file of the clone.

        Raises:
            ReportError: there is no such file.
        """
        path = self.tree / file
        if not path.is_file():
            raise ReportError(f"{file} is not in the last commit: name a Python file that is")
        with path.open("a", encoding="utf-8") as source:
            # Two blank lines, for the format of the file is tested.
            source.write("\n\n# A change that somebody made.\n")

    def remove(self) -> None:
        """Ends its server, and frees its disk."""
        if self._base.exists():
            # Bazel's own way: parts of it are read-only.
            self.bazel("clean", "--expunge")


def measured(name: str, seconds: float, events: Iterable[str]) -> Measured:
    """A row from Bazel's build event protocol, one JSON object a line."""
    runners: dict[str, int] = {}
    ran: dict[str, bool] = {}
    for line in events:
        event = json.loads(line)
        if "testResult" in event:
            result = event["testResult"]
            cached = result.get("cachedLocally", False) or result.get("executionInfo", {}).get(
                "cachedRemotely", False
            )
            label = event["id"]["testResult"]["label"]
            ran[label] = ran.get(label, False) or not cached  # one shard that runs, and it ran
        if "buildMetrics" in event:
            for runner in event["buildMetrics"]["actionSummary"].get("runnerCount", []):
                runners[runner["name"]] = int(runner["count"])
    return Measured(
        name=name,
        seconds=seconds,
        actions=sum(count for name, count in runners.items() if name not in _NO_WORK),
        hits=sum(runners.get(name, 0) for name in _HIT),
        tests=tuple(sorted(label for label, it_ran in ran.items() if it_ran)),
        cached_tests=sum(not it_ran for it_ran in ran.values()),
    )
