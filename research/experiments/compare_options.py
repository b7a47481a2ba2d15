"""The command line of the comparison."""

from __future__ import annotations

import argparse
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
from experiments.contenders import CONTENDERS, OURS, PEERS, Contender

N_SEEDS = 3

_EPILOG = f"""\
Four test folds start at --train-start and 7, 14, 21 days later; the four validation folds, on which
alone --trials chooses settings, 35 days before. Without --trials the settings of the file beside
this program hold: they were chosen so on the handbook's data.

{DATA_HELP}"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareOptions:
    """What to compare on, and how thoroughly."""

    data: DataOptions
    contenders: Sequence[Contender]
    """Ours first, and at least one other."""
    quick: bool
    seeds: int
    """Trainings of each model on each fold."""
    trials: int
    """Of the search for settings; 0: none."""
    resume: Path | None
    """The folder of trainings that have ended; None: all are done now, and none is kept."""
    settings_path: Path | None
    """Where to write what a search finds."""
    json_path: Path | None
    picture_path: Path | None


def parse_compare_options(arguments: Sequence[str] | None = None) -> CompareOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Raises:
        UsageError: the options are well formed, but what they name cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="./bazelw run //research:compare --",
        description="Our model and the field's on the same rows, features and days.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_data_options(parser)
    parser.add_argument(
        "--contenders",
        type=_contenders,
        metavar="NAME,...",
        help=f"beside ours, which always takes part (default: {_names(PEERS)};"
        f" with --quick, not {_names([it for it in PEERS if it.quick is None])})",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one fold, one seed, one set of features, fewer trees: a minute",
    )
    parser.add_argument(
        "--seeds",
        type=at_least(1),
        metavar="N",
        help=f"trainings of each model on each fold (default: {N_SEEDS}; with --quick, 1)",
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="keep each training in DIR as soon as it ends, and do not repeat those that are there:"
        " a comparison of hours that was stopped goes on where it was; the code must be committed",
    )
    parser.add_argument(
        "--trials",
        type=at_least(0),
        default=0,
        metavar="N",
        help="first search settings for each model: N trials on the validation folds",
    )
    for option, what in (
        ("--settings", "with --trials, also write the settings found, as JSON"),
        ("--json", "also write the numbers, as JSON"),
        ("--picture", "charts, as .svg or .png (default: in $FRAUD_HOME/reports)"),
    ):
        parser.add_argument(option, type=Path, metavar="PATH", help=what)
    given = parser.parse_args(arguments)
    check_folder("--settings", given.settings)
    check_folder("--json", given.json)
    check_folder("--picture", given.picture)
    usual = [it for it in CONTENDERS if it.quick is not None or not given.quick]
    return CompareOptions(
        data=data_options(given),
        contenders=given.contenders or usual,
        quick=given.quick,
        seeds=given.seeds or (1 if given.quick else N_SEEDS),
        trials=given.trials,
        resume=given.resume,
        settings_path=given.settings,
        json_path=given.json,
        picture_path=given.picture,
    )


def _contenders(text: str) -> list[Contender]:
    names = set(text.split(",")) - {OURS.name}
    unknown = names - {it.name for it in PEERS}
    if unknown or not names:
        what = f"no {', '.join(sorted(unknown))}" if unknown else "nobody beside ours"
        raise argparse.ArgumentTypeError(f"there is {what}; choose from {_names(PEERS)}")
    return [OURS, *(it for it in PEERS if it.name in names)]


def _names(contenders: Sequence[Contender]) -> str:
    return ",".join(it.name for it in contenders)
