"""The options of every command that reads transactions and splits them by days."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batch_proc.column_names import read_column_names
from data_connector.command import UsageError
from fraud_ml.default_specs import default_spec
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.feature_spec_toml import spec_from_toml

MODEL_NAME = "fraud"
"""Of the model that the commands train and use."""

DATA_HELP = """\
The columns file holds lines  ours = "theirs"  for transaction_id, timestamp, customer_id, amount,
what else the spec reads (by default terminal_id) and, where labels lie in the same table, is_fraud
and labelled_at. Without labelled_at a label counts as known --delay-days after its transaction.

The spec file says what the features are, in TOML: ml/README.md, "Define a feature". Its own delays
hold, whatever --delay-days says.

State is kept in $FRAUD_HOME (default: .fraud in the workspace).
Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOptions:
    """Which transactions, which features of them, and on which days."""

    source: str | None
    """A URL, a path, or where a URL is kept; None: simulate."""
    table: str | None
    column_names: dict[str, str]
    """Our column name to the source's."""
    spec: FeatureSpec
    train_start: dt.date | None
    """None: the latest for which all days lie in the data."""
    train_days: int
    delay_days: int
    test_days: int


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Let ``parser`` take the options that :func:`data_options` reads."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--source",
        "--transactions",  # as //batch:backfill calls it, which takes two sources
        dest="source",
        metavar="URL_OR_PATH",
        help="of the transactions: a database's URL, an object's (s3://, gs://, abfs://, https://),"
        " a .parquet or .csv file, a folder of .parquet files; or env:NAME or secret-file:PATH,"
        " where such a URL is kept (default: simulate once into $FRAUD_HOME/transactions.db)",
    )
    data.add_argument(
        "--table", help="its table of transactions (default: transactions, or the only one)"
    )
    data.add_argument("--columns", type=Path, metavar="FILE", help="TOML file, see below")
    data.add_argument(
        "--spec",
        type=Path,
        metavar="FILE",
        help="TOML file of the features, see below (default: DEFAULT_SPEC, with --delay-days)",
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
        type=at_least(1),
        default=7,
        metavar="N",
        help="days to train on (default: 7)",
    )
    split.add_argument(
        "--delay-days",
        type=at_least(0),
        default=7,
        metavar="N",
        help="days until a transaction's label is known (default: 7)",
    )
    split.add_argument(
        "--test-days",
        type=at_least(1),
        default=7,
        metavar="N",
        help="days to test on, after the delay (default: 7)",
    )


def data_options(given: argparse.Namespace) -> DataOptions:
    """The options as they were given.

    Raises:
        UsageError: they are well formed, but what they name cannot be used.
    """
    if given.source is None and (given.columns or given.table):
        raise UsageError("--columns and --table describe --source, which is not given")
    label_delay = dt.timedelta(days=given.delay_days)
    spec = read_spec(given.spec) if given.spec else default_spec(label_delay=label_delay)
    return DataOptions(
        source=given.source,
        table=given.table,
        column_names=read_column_names(given.columns, spec) if given.columns else {},
        spec=spec,
        train_start=given.train_start,
        train_days=given.train_days,
        delay_days=given.delay_days,
        test_days=given.test_days,
    )


def check_folder(option: str, path: Path | None) -> None:
    """Raises :class:`UsageError` where the file that ``option`` is to write has no folder."""
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageError(f"{option} {path}: the folder does not exist")


def read_spec(path: Path) -> FeatureSpec:
    """The features that the file of ``--spec`` says.

    Raises:
        UsageError: it cannot be read, or is none.
    """
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


def at_least(least: int) -> Callable[[str], int]:
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


def instant(text: str) -> dt.datetime:
    """A time in UTC, which a zone is taken to be where none is given, as a type for argparse."""
    try:
        given = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time like 2018-07-25 or 2018-07-25T12:00:00Z"
        ) from error
    return given.replace(tzinfo=dt.UTC) if given.tzinfo is None else given.astimezone(dt.UTC)
