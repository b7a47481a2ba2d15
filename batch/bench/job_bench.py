"""From a history to scores: our job against the peer's, in seconds, memory and bytes exchanged."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import whole_jobs
from simulated_history import first_files, rows_in
from whole_jobs import OURS, PEER

from tools.bench.harness import Result, say

PEER_ROWS = 2_000_000  # which takes it minutes

# Bazel says where our packages are relative to where the command started, and it moves.
_PROGRAM = Path(whole_jobs.__file__).absolute()
_PYTHON_PATH = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)

_SAMPLE = 0.1  # seconds between two looks at the memory
_EXTRACT = 2_000  # characters of what a job said that failed


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one job took."""

    rows: int
    seconds: float
    megabytes: float
    """The most that all its processes held at once, by samples."""
    exchanged: int
    """Bytes."""


def bench_jobs(
    files: Sequence[Path], handbook: Path, default: Path | None = None, *, rounds: int
) -> list[Result]:
    """Our rows a second, megabytes and bytes a row, and how many times better those are.

    The peer computes the 15 features of the handbook. Ours computes the same, and then the 30 of
    `DEFAULT_SPEC`, which nobody wants to write as window functions: that result compares ours of
    30 with the peer's of 15.

    Args:
        files: of the history, all of one folder. Beyond `PEER_ROWS` the peer has fewer, and is
            compared by the row; its memory is that of fewer rows.
        handbook: a model of `HANDBOOK_SPEC`.
        default: a model of `DEFAULT_SPEC`; without one the job of 30 features is left out.
        rounds: in each of which all jobs run in turn.
    """
    few = len(list(first_files(files, PEER_ROWS)))
    say(f"from {rows_in(files):,} transactions to scores; the peer's: {rows_in(files[:few]):,}")
    jobs = {"features_and_score": (OURS, handbook, len(files))}
    if default is not None:
        jobs["features_and_score_default"] = (OURS, default, len(files))
    jobs[PEER] = (PEER, handbook, few)
    taken: dict[str, list[Measured]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, (who, model, n_files) in jobs.items():
            taken[name].append(run_job(who, files[:n_files], model))
    found = {name: together(each) for name, each in taken.items()}
    for name, it in found.items():
        say(
            f"  {name}: {it.rows / it.seconds:,.0f} rows/s, {it.megabytes:,.0f} MB,"
            f" {it.exchanged / it.rows:.0f} bytes exchanged a row"
        )
    return as_results(found)


def together(each: Sequence[Measured]) -> Measured:
    """Of several runs: the median of the seconds, the most memory."""
    return Measured(
        rows=each[0].rows,
        seconds=statistics.median(it.seconds for it in each),
        megabytes=max(it.megabytes for it in each),
        exchanged=each[0].exchanged,
    )


def as_results(found: Mapping[str, Measured]) -> list[Result]:
    """Three results each of ours, against the peer."""
    peer = found[PEER]
    results = []
    for name, it in found.items():
        if name == PEER:
            continue
        cost, theirs = it.seconds / it.rows, peer.seconds / peer.rows
        exchanged, theirs_exchanged = it.exchanged / it.rows, peer.exchanged / peer.rows
        results += [
            _against(name, it.rows / it.seconds, "rows/s", theirs / cost),
            _against(f"{name}_memory", it.megabytes, "MB", peer.megabytes / it.megabytes),
            _against(f"{name}_exchanged", exchanged, "bytes/row", theirs_exchanged / exchanged),
        ]
    return results


def _against(name: str, value: float, unit: str, ratio: float) -> Result:
    return Result(name=name, value=value, unit=unit, peer=PEER, ratio=ratio)


def run_job(name: str, files: Sequence[Path], model: Path) -> Measured:
    """One job in a process of its own, on the disk of the files.

    Raises:
        RuntimeError: it failed.
    """
    history = files[0].parent
    with tempfile.TemporaryDirectory(dir=history.parent, prefix="job") as folder:
        said = Path(folder) / "said.txt"
        command = [sys.executable, _PROGRAM, name, history, model, folder]
        with said.open("wb") as log, tempfile.TemporaryFile() as out:
            process = subprocess.Popen(
                [*map(str, command), "--files", str(len(files))],
                env={**os.environ, "PYTHONPATH": _PYTHON_PATH},
                stdout=out,
                stderr=log,
            )
            peak = watched(process)
            out.seek(0)
            printed = out.read()
        if process.returncode:
            raise RuntimeError(f"{name} failed:\n{said.read_text()[-_EXTRACT:]}")
    return Measured(rows=rows_in(files), megabytes=peak, **json.loads(printed))


def watched(process: subprocess.Popen[bytes]) -> float:
    """Waits for a process; the most megabytes that it and its children held at once.

    The sum of what is resident of each: what processes share counts for each of them.
    """
    root = psutil.Process(process.pid)
    peak = 0
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, sum(map(_resident, [root, *root.children(recursive=True)])))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_SAMPLE)
            return peak / 1e6


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return 0
