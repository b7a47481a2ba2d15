"""The command line of the search."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_proc.data_options import (
    DATA_HELP,
    DataOptions,
    add_data_options,
    at_least,
    check_folder,
    data_options,
)
from experiments.contenders import CONTENDERS, Contender

_EPILOG = f"""\
Settings are judged by their mean average precision over validation folds a week apart, which start
35 days before --train-start: what is found may be tested on the days from there on. Once the
minutes are up, and after Ctrl-C, the trials that run are stopped, and the best settings so far are
written. The search is kept in $FRAUD_HOME/search.db: the same command on the same rows goes on
where it was, with a trial that was stopped from the fold on that it was on.

{DATA_HELP}"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """Whose settings to search, on what, and for how long."""

    data: DataOptions
    contender: Contender
    minutes: float
    trials: int | None
    """In all; None: as many as the minutes allow."""
    folds: int
    workers: int
    output: Path | None
    """Where to write the best settings; None: in `$FRAUD_HOME`."""


def parse_search_options(arguments: Sequence[str] | None = None) -> SearchOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Raises:
        UsageError: the options are well formed, but what they name cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="./bazelw run //research:search --",
        description="Search a model's settings, and write the best for //batch:train --config.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_data_options(parser)
    search = parser.add_argument_group("search")
    contenders = {it.name: it for it in CONTENDERS}
    search.add_argument(
        "--model", choices=contenders, default="ours", help="whose settings (default: ours)"
    )
    search.add_argument(
        "--minutes",
        type=_minutes,
        default=10.0,
        metavar="M",
        help="how long to search this time (default: 10)",
    )
    search.add_argument(
        "--trials",
        type=at_least(1),
        metavar="N",
        help="end after so many, those of earlier runs counted (default: when time is up)",
    )
    search.add_argument(
        "--folds",
        type=int,
        choices=range(1, 5),
        default=4,
        help="validation folds; fewer are faster, and tell less (default: 4)",
    )
    search.add_argument(
        "--workers",
        type=at_least(1),
        default=1,
        metavar="N",
        help=f"processes that try side by side, a core each (default: 1; there are"
        f" {os.cpu_count()} cores)",
    )
    search.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="the best settings: for ours as TOML, a --config of //batch:train; for the others as"
        " JSON (default: $FRAUD_HOME/search/MODEL.toml or .json)",
    )
    given = parser.parse_args(arguments)
    check_folder("--output", given.output)
    return SearchOptions(
        data=data_options(given),
        contender=contenders[given.model],
        minutes=given.minutes,
        trials=given.trials,
        folds=given.folds,
        workers=given.workers,
        output=given.output,
    )


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive, got {text}")
    return minutes
