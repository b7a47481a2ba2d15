"""The command line of every command that trains."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_proc.column_names import read_column_names
from batch_proc.errors import UsageError
from fraud_ml.feature_spec import FeatureSpec, handbook_spec
from fraud_ml.feature_spec_toml import spec_from_toml
from fraud_ml.training import TrainingConfig

_EPILOG = """\
The columns file holds lines  ours = "theirs"  for transaction_id, timestamp, customer_id, amount,
what else the spec reads (by default terminal_id) and, where labels lie in the same table, is_fraud
and labelled_at. Without labelled_at a label counts as known --delay-days after its transaction.

The spec file says what the features are, in TOML: ml/README.md, "Define a feature". Its own delays
hold, whatever --delay-days says.

State is kept in $FRAUD_HOME (default: .fraud in the workspace).
Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """What to train on, how to split it, and where to put the numbers."""

    source: str | None
    """A SQLAlchemy URL or a path; None: simulate."""
    table: str | None
    column_names: dict[str, str]
    """Our column name to the source's."""
    spec: FeatureSpec
    train_start: dt.date | None
    """None: the latest for which all days lie in the data."""
    train_days: int
    delay_days: int
    test_days: int
    max_epochs: int
    seed: int
    json_path: Path | None


def parse_train_options(
    arguments: Sequence[str] | None = None, *, prog: str, description: str
) -> TrainOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Raises:
        UsageError: the options are well formed, but what they name cannot be used.
    """
    given = _parser(prog, description).parse_args(arguments)
    if given.json is not None and not given.json.absolute().parent.is_dir():
        raise UsageError(f"--json {given.json}: the folder does not exist")
    if given.transactions is None and (given.columns or given.table):
        raise UsageError("--columns and --table describe --transactions, which is not given")
    spec = (
        _read_spec(given.spec)
        if given.spec
        else handbook_spec(label_delay=dt.timedelta(days=given.delay_days))
    )
    return TrainOptions(
        source=given.transactions,
        table=given.table,
        column_names=read_column_names(given.columns, spec) if given.columns else {},
        spec=spec,
        train_start=given.train_start,
        train_days=given.train_days,
        delay_days=given.delay_days,
        test_days=given.test_days,
        max_epochs=given.max_epochs,
        seed=given.seed,
        json_path=given.json,
    )


def _parser(prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--transactions",
        metavar="URL_OR_PATH",
        help="a SQLAlchemy URL, a .parquet or .csv file, or a folder of .parquet files"
        " (default: simulate once into $FRAUD_HOME/transactions.db)",
    )
    data.add_argument(
        "--table", help="its table of transactions (default: transactions, or the only one)"
    )
    data.add_argument("--columns", type=Path, metavar="FILE", help="TOML file, see below")
    data.add_argument(
        "--spec",
        type=Path,
        metavar="FILE",
        help="TOML file of the features, see below (default: the handbook's, with --delay-days)",
    )
    split = parser.add_argument_group("days (UTC)")
    split.add_argument(
        "--train-start",
        type=_date,
        metavar="YYYY-MM-DD",
        help="first day to train on (default: the latest that leaves room for all days;"
        " 2018-07-25 for simulated transactions)",
    )
    split.add_argument(
        "--train-days",
        type=_at_least(1),
        default=7,
        metavar="N",
        help="days to train on (default: 7)",
    )
    split.add_argument(
        "--delay-days",
        type=_at_least(0),
        default=7,
        metavar="N",
        help="days until a transaction's label is known (default: 7)",
    )
    split.add_argument(
        "--test-days",
        type=_at_least(1),
        default=7,
        metavar="N",
        help="days to test on, after the delay (default: 7)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--max-epochs",
        type=_at_least(1),
        default=TrainingConfig().max_epochs,
        metavar="N",
        help="passes over the rows, unless quality stops rising before (default: %(default)s)",
    )
    training.add_argument(
        "--seed",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="of the weights and the order of rows; the same seed, the same model (default: 0)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="PATH", help="also write the numbers, as name, value, unit"
    )
    return parser


def _read_spec(path: Path) -> FeatureSpec:
    try:
        return spec_from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--spec {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--spec {path}: is not TOML: {error}") from error
    except ValueError as error:
        raise UsageError(f"--spec {path}: {error}") from error


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2018-07-25") from error


def _at_least(least: int) -> Callable[[str], int]:
    """A whole number that is not too small, as a type for argparse."""

    def number(text: str) -> int:
        try:
            given = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
        if given < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {given}")
        return given

    return number
