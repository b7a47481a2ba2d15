"""A training on several processes in a place of its own, and the processes that work for it."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from small_training import TRAIN_START, environment, run_train, train_command

from data_connector import ModelStore

DEADLINE = 300.0  # seconds for processes to come or to go, on a busy machine


@dataclass(frozen=True)
class Run:
    """A place of its own for one run: its state, and its temporary files."""

    folder: Path
    source: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def arguments(self) -> list[str]:
        numbers = str(self.folder / "numbers.json")
        several = ["--max-epochs", "4"]  # time enough to end it in between
        where = ["--source", self.source, "--train-start", TRAIN_START]
        return [*several, *where, "--json", numbers]

    @property
    def surroundings(self) -> dict[str, str]:
        self.temporary.mkdir(parents=True, exist_ok=True)
        return {"FRAUD_HOME": str(self.home), "TMPDIR": str(self.temporary)}

    def __call__(self, *more: str) -> subprocess.CompletedProcess[str]:
        return run_train(*self.arguments, *more, **self.surroundings)

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            train_command(*self.arguments, *more),
            env=environment(**self.surroundings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def numbers(self) -> dict[str, float]:
        rows = json.loads((self.folder / "numbers.json").read_text())
        return {row["name"]: row["value"] for row in rows}

    def weights(self) -> str:
        """A hash of the weights of the one model that was stored."""
        path = ModelStore(self.home / "models").get("fraud", 1).path / "model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def processes(self) -> list[psutil.Process]:
        """All that work for this run, children of children too: they name its temporary folder."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.temporary) in word for word in process.info["cmdline"] or [])
        ]

    def workers(self) -> dict[int, psutil.Process]:
        """The processes that train, by rank."""
        found = {}
        for process in self.processes():
            try:
                variables = process.environ()
            except psutil.Error:
                continue
            if "LOCAL_RANK" in variables:
                found[int(variables["RANK"])] = process
        return found


def until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def left_over(temporary: Path) -> list[str]:
    """What is left of a run; torch keeps what it made of a net to export it, for the next time."""
    names = (path.name for path in temporary.iterdir())
    return [name for name in names if not name.startswith("torchinductor_")]


def left_in(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
