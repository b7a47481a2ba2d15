"""`./bazelw run //research:runs`: what was run, side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from batch_proc.data_options import at_least
from data_connector.command import UsageError, fraud_home, run
from experiments.lab_server import Server, add_server_options, serve
from experiments.tracking import KeptRun, Tracker

_SHORT = 8  # characters of an id


def overview(tracker: Tracker) -> Table:
    """How often each experiment ran, and when last."""
    table = Table("experiment", "runs", "last, UTC", "ended")
    for name in tracker.experiments():
        runs = tracker.runs(name)
        if runs:
            table.add_row(name, str(len(runs)), f"{runs[0].started:%Y-%m-%d %H:%M}", runs[0].status)
    return table


def side_by_side(runs: Sequence[KeptRun]) -> Table:
    """Runs as lines: what they measured, and the parameters in which they differ."""
    parameters = _names(it.parameters for it in runs)
    if len(runs) > 1:
        parameters = [it for it in parameters if len({run.parameters.get(it) for run in runs}) > 1]
    metrics = _names(it.metrics for it in runs)
    table = Table("run", "experiment", "started, UTC", "ended", "commit", *parameters)
    for name in metrics:
        table.add_column(name, justify="right")
    for it in runs:
        table.add_row(
            it.id[:_SHORT],
            it.experiment,
            f"{it.started:%m-%d %H:%M}",
            it.status.lower(),
            it.commit[:_SHORT] + ("+" if it.commit.endswith("-dirty") else ""),
            *(it.parameters.get(name, "") for name in parameters),
            *(f"{it.metrics[name]:.4g}" if name in it.metrics else "" for name in metrics),
        )
    return table


def days_of(tracker: Tracker, runs: Sequence[KeptRun], name: str) -> Table:
    """A metric by day, a column a run.

    Raises:
        UsageError: none of the runs has it.
    """
    found = [tracker.by_day(it.id, name) for it in runs]
    if not any(found):
        known = sorted({each for it in runs for each in tracker.names_by_day(it.id)})
        raise UsageError(
            f"--by-day {name}: these runs have by day: {', '.join(known) or 'nothing'}"
        )
    table = Table("day", title=name, title_justify="left", title_style="bold")
    for it in runs:
        table.add_column(it.id[:_SHORT], justify="right")
    for day in sorted({day for it in found for day in it}):
        table.add_row(f"{day}", *(f"{it[day]:.4g}" if day in it else "" for it in found))
    return table


def chosen(tracker: Tracker, wanted: Sequence[str]) -> list[KeptRun]:
    """The runs that the beginnings of ids say, or those of the experiments that are named.

    Raises:
        UsageError: there is no such run or experiment, or more than one such run.
    """
    kept, experiments = tracker.runs(), tracker.experiments()
    found: list[KeptRun] = []
    for text in wanted:
        if text in experiments:
            found += [it for it in kept if it.experiment == text]
            continue
        matching = [it for it in kept if it.id.startswith(text)]
        if len(matching) != 1:
            raise UsageError(
                f"{text!r}: {len(matching) or 'no'} runs begin so, and no experiment is called so;"
                " without arguments, all experiments are listed"
            )
        found += matching
    return found


def _names(each: Iterable[Iterable[str]]) -> list[str]:
    """All of them once, in the order in which they come first."""
    return list(dict.fromkeys(name for it in each for name in it))


def main(arguments: Sequence[str] | None = None) -> None:
    """Shows the runs that the command line names."""
    parser = argparse.ArgumentParser(
        prog="./bazelw run //research:runs --",
        description="What was run: all experiments, or runs side by side.",
        epilog="Runs are kept in $FRAUD_HOME/runs.db. Exit codes: 0 done, 1 failed, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "which",
        nargs="*",
        metavar="EXPERIMENT_OR_RUN",
        help="an experiment's name, or the first characters of a run's id",
    )
    parser.add_argument("--sort", metavar="METRIC", help="the highest first (default: the newest)")
    parser.add_argument(
        "--limit", type=at_least(1), default=20, metavar="N", help="lines (default: 20)"
    )
    parser.add_argument("--by-day", metavar="METRIC", help="a metric by day, a column a run")
    parser.add_argument("--ui", action="store_true", help="the same as a page, in a browser")
    add_server_options(parser)
    given = parser.parse_args(arguments)
    home = fraud_home()
    if given.ui:
        serve(Server.of(given, home=home, edit=False), Path("research/notebooks/runs_page.py"))
    tracker = Tracker(home)
    if given.by_day and not given.which:
        raise UsageError("--by-day compares runs: name them, or an experiment")
    if not given.which:
        Console().print(overview(tracker))
        return
    runs = chosen(tracker, given.which)
    if given.sort:
        if not any(given.sort in it.metrics for it in runs):
            raise UsageError(f"--sort {given.sort}: none of these runs has measured it")
        runs.sort(key=lambda it: -it.metrics.get(given.sort, -float("inf")))
    runs = runs[: given.limit]
    Console().print(days_of(tracker, runs, given.by_day) if given.by_day else side_by_side(runs))


if __name__ == "__main__":
    sys.exit(run(main))
