"""What a run has done so far, in a folder, so that another process can go on from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from batch_proc.errors import ResumeError
from batch_proc.whole_files import whole_file
from data_connector.atomic import lock, write_errors
from data_connector.errors import WriteError

_RUN = "run.json"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Run:
    """A run: the values that it keeps, and its steps."""

    folder: Path
    """Named at random, so that no straggler of a killed run writes into another run's."""
    is_resumed: bool

    def keep(self, name: str, value: Any) -> None:
        """Writes a value that JSON can hold, whole."""
        _write(self.folder / name, value)

    def kept(self, name: str) -> Any:
        """The value that was kept; None where there is none."""
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def step(self, name: str) -> Step:
        """A step of the run, with a folder of its own."""
        folder = self.folder / name
        with write_errors(folder):
            folder.mkdir(exist_ok=True)
        return Step(folder)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run works, for this process alone."""

    path: Path

    def begin(self, fingerprint: Mapping[str, Any]) -> Run:
        """The run of `fingerprint` that is here and goes on, or a new one.

        Raises:
            ResumeError: there is a run, and it is of something else.
            WriteError: the folder cannot be written.
        """
        there = self.path / _RUN
        if not there.exists():
            name = uuid4().hex
            with write_errors(self.path):
                (self.path / name).mkdir()
            _write(there, {"run": name, **fingerprint})
            return Run(self.path / name, is_resumed=False)
        before = json.loads(there.read_text(encoding="utf-8"))
        run = Run(self.path / before.pop("run"), is_resumed=True)
        now = json.loads(json.dumps(fingerprint))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            raise ResumeError(
                f"cannot resume: the run in {self.path} was of other {', '.join(changed)}:"
                f" {_difference(before.get(changed[0]), now.get(changed[0]))}; start without"
                " --resume, which discards it"
            )
        return run

    def remove(self) -> None:
        """Discards all, the run itself first, so that what a kill leaves is not gone on from."""
        (self.path / _RUN).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is done in parts, each by a task: a part is done when its record is there."""

    folder: Path

    def data(self, part: int, kind: str = "rows") -> Path:
        """The file of a part's rows, or of what else it has."""
        return self.folder / f"part-{part:05}.{kind}.arrow"

    def discard_data(self) -> None:
        """Removes all files of parts, as whoever needed them is done; their records stay."""
        for path in self.folder.glob("part-*.arrow"):
            path.unlink(missing_ok=True)

    def finish(self, part: int, record: Mapping[str, Any]) -> None:
        """Records that a part is done; its rows must be written by now."""
        _write(self._record(part), record)

    def n_done(self) -> int:
        """How many parts are done."""
        return sum(1 for _ in self.folder.glob("part-*.json"))

    def done(self) -> dict[int, dict[str, Any]]:
        """The records of the parts that are done, by their numbers."""
        return {
            int(path.stem.removeprefix("part-")): json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(self.folder.glob("part-*.json"))
        }

    def _record(self, part: int) -> Path:
        return self.folder / f"part-{part:05}.json"


@contextmanager
def run_folder(path: Path, *, resume: bool) -> Iterator[RunFolder]:
    """The folder of a run, for this process alone.

    Args:
        path: the folder; it is made.
        resume: whether to keep what an earlier run left in it.

    Raises:
        WriteError: another process has it, or it cannot be written.
    """
    with write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        file = (path / _LOCK).open("ab")
    with file:
        if not lock(file.fileno(), wait=False):
            raise WriteError(f"another run is at work in {path}: wait for it, or choose another")
        if not (resume and (path / _RUN).exists()):
            (path / _RUN).unlink(missing_ok=True)
            for entry in path.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
        yield RunFolder(path)


def _write(path: Path, value: Any) -> None:
    with whole_file(path) as aside:
        aside.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**before, **now}:
            if before.get(name) != now.get(name):
                return f"{name}: {before.get(name)}, now {now.get(name)}"
    return f"{before}, now {now}"
