"""What every benchmark shares: taking turns, a table, a JSON file, and two ways to run.

A benchmark measures a peer and us in the same run, one after the other in each round, so that a
machine that is busy for a while is busy for both. The time that counts is the median round's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table

_FILE_WIDTH = 110  # columns of a table that goes to no terminal


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One line of a benchmark."""

    name: str
    value: float
    """Ours, in `unit`."""
    unit: str
    peer: str = ""
    """Who we are measured against."""
    ratio: float | None = None
    """How many times better we are than the peer; None without one."""


def in_turn(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Seconds of each contender: the median over the rounds, in each of which all run in turn.

    Each runs once before, unmeasured: imports, caches and allocators are warm for everyone.
    """
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main(benchmark: Callable[[bool], Sequence[Result]], *, description: str) -> None:
    """Runs a benchmark as the command line says: `--quick` within a minute, `--json PATH`.

    Args:
        benchmark: takes whether to be quick, and returns its results.
        description: what is measured, for `--help`.
    """
    given = parsed(bench_parser(description))
    show(benchmark(given.quick), given.json)


def bench_parser(description: str) -> argparse.ArgumentParser:
    """The options of every benchmark, for one that has more of them."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="less data, within 60 seconds")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results there")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options that were given, their paths relative to the user's folder; wrong ones exit."""
    # `bazel run` starts programs in a folder of its own; paths are relative to the user's.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    given = parser.parse_args()
    if given.json is not None and not given.json.absolute().parent.is_dir():
        parser.error(f"--json {given.json}: the folder does not exist")
    return given


def show(results: Sequence[Result], json_path: Path | None) -> None:
    """The results as a table, and in a file if there is to be one."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    console.print(as_table(results))
    if json_path is not None:
        json_path.write_text(to_json(results), encoding="utf-8")


def to_json(results: Sequence[Result]) -> str:
    """A JSON list of `{"name", "value", "unit", "peer", "ratio"}`."""
    return json.dumps([asdict(result) for result in results], indent=2) + "\n"


def as_table(results: Sequence[Result]) -> Table:
    """The results for people; `times` is how many times better ours are."""
    table = Table()
    for column in ("benchmark", "ours", "unit", "peer", "times"):
        justify: JustifyMethod = "right" if column in ("ours", "times") else "left"
        # Who reads the JSON looks for the whole name; a peer's may take several lines.
        table.add_column(column, justify=justify, no_wrap=column != "peer", overflow="fold")
    for it in results:
        ratio = "" if it.ratio is None else f"{it.ratio:,.1f}"
        value = f"{it.value:,.0f}" if it.value >= 100 else f"{it.value:.3g}"
        table.add_row(it.name, value, it.unit, it.peer, ratio)
    return table


def say(text: str) -> None:
    """Tells what is being measured, on standard error."""
    sys.stderr.write(f"{text}\n")
