"""`./bazelw run //research/experiments/NAME`: an experiment's run, kept, and its report."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from batch_proc.errors import SHOWN
from batch_proc.lineage import commit
from batch_proc.measures import write_whole
from data_connector.command import UsageError, fraud_home, run
from experiments.study import Study
from experiments.study_code import code_of
from experiments.study_folder import REPORT, StudyConfig, StudyError, read_config, write_report
from experiments.tracking import Tracker


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """Which experiment to run, and with what."""

    folder: Path
    changed: dict[str, Any]
    """Parameters for this run alone; the report then stays as it was."""


def parse_run_options(arguments: Sequence[str] | None = None) -> RunOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Raises:
        UsageError: the options are well formed, but what they say cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="./bazelw run //research/experiments/NAME --",
        description="Run an experiment with the parameters of its config.toml; keep the run in"
        " $FRAUD_HOME and write its report.json.",
        epilog="Compare runs: ./bazelw run //research:runs. Exit codes: 0 done, 1 failed, 2 wrong"
        " usage.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help=argparse.SUPPRESS)  # the BUILD file says it
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value (as in TOML) for a parameter, this once: the run is kept, the report"
        " not written",
    )
    given = parser.parse_args(arguments)
    workspace = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    changed = dict(_changed(text) for text in given.set)
    return RunOptions(folder=workspace.absolute() / given.folder, changed=changed)


def _changed(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found:
        raise UsageError(f"--set {text}: is no NAME=VALUE")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f'--set {text}: the value is not as in TOML: 3, 0.5, true, "text", [1, 2]'
        ) from error


def run_study(config: StudyConfig, options: RunOptions, home: Path) -> tuple[Study, float, str]:
    """The study after its run, its seconds, and the id under which it is kept.

    Raises:
        StudyError: the folder is not as it should be.
        UsageError: the experiment has no such parameter.
    """
    try:
        parameters = config.with_parameters(options.changed)
    except StudyError as error:
        raise UsageError(f"--set: {error}") from error
    code = code_of(options.folder)
    tracker = Tracker(home)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fraud-study-") as kept:
        study = Study(
            name=config.name,
            parameters=parameters,
            seed=config.seed,
            small=False,
            folder=Path(kept) / "files",
        )
        all_parameters = {**parameters, "seed": config.seed}
        with tracker.run(
            config.name, all_parameters, commit=commit(), owner=config.owner
        ) as tracked:
            try:
                code(study)
            finally:  # what was measured before a failure helps to find it
                for metric in study.metrics.values():
                    tracked.log(metric.name, metric.value)
                for row in study.by_day.values():
                    tracked.log(row.name, row.value, day=row.day)
                if study.folder.is_dir():
                    tracked.keep(study.folder)
    return study, time.monotonic() - started, tracked.id


def main() -> None:
    """Runs the experiment, shows what it measured, and writes its report."""
    options = parse_run_options()
    config = read_config(options.folder)
    study, seconds, run_id = run_study(config, options, fraud_home())
    table = Table("metric", title=config.question, title_justify="left", title_style="bold")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for metric in study.metrics.values():
        table.add_row(metric.name, f"{metric.value:.4g}", metric.unit)
    Console().print(table)
    sys.stdout.write(f"run:    {run_id[:8]}, {seconds:.1f} s\n")
    if options.changed:
        return
    path = options.folder / REPORT
    write_whole(path, write_report(study, commit=commit(), seconds=seconds))
    sys.stdout.write(f"report: {path}\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=(*SHOWN, StudyError)))
