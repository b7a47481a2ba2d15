"""The command line of `//batch:infer`."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_proc.data_options import at_least, check_folder, instant
from data_connector.command import UsageError

HELP = """\
The columns file holds lines  ours = "theirs"  for transaction_id, timestamp, customer_id, amount,
what else the model's features read and, where labels lie in the same table, is_fraud and
labelled_at. Without labelled_at a label counts as known --delay-days after its transaction.

The output folder holds day=YYYY-MM-DD/scores.parquet for each day; days that are not scored again
stay. A killed run goes on with --resume; without it, it is discarded.

Models and state are kept in $FRAUD_HOME (default: .fraud in the workspace).
Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

BUCKET_ROWS = 250_000
"""Bounds the memory of a task; with few rows the cost a task would show."""
SPLIT_BUCKETS = 4
"""Of the rows of a bucket the first tasks read so many times as many, a bucket's at a time: each
leaves a file that all tasks of the next stage open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InferOptions:
    """What to score with which model, where to put the scores, and how to work."""

    input: str
    """A path or a URL."""
    table: str | None = None
    labels: str | None = None
    """A path or a URL; None: the rows have them, or the input's table `labels`, or nobody."""
    labels_table: str | None = None
    columns: Path | None = None
    delay_days: int = 7
    output: str
    """A folder, or a database's URL."""
    output_table: str = "scores"
    model: str | None = None
    """A version, an alias, or an artifact's folder; None: the champion, else the newest."""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    resume: bool = False
    work: Path | None = None
    """Where the run works; None: beside the output."""
    master: str | None = None
    bucket_rows: int = BUCKET_ROWS
    json_path: Path | None = None


def parse_infer_options(arguments: Sequence[str] | None = None) -> InferOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Raises:
        UsageError: the options are well formed, but what they name cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="./bazelw run //batch:infer --",
        description="Score a history of transactions with Spark.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_data(parser)
    _add_model_and_output(parser)
    _add_work(parser)
    given = parser.parse_args(arguments)
    check_folder("--json", given.json)
    if given.since and given.until and given.since >= given.until:
        raise UsageError(f"--since {given.since} is not before --until {given.until}")
    return InferOptions(
        input=given.input,
        table=given.table,
        labels=given.labels,
        labels_table=given.labels_table,
        columns=given.columns,
        delay_days=given.delay_days,
        output=given.output,
        output_table=given.output_table,
        model=given.model,
        since=given.since,
        until=given.until,
        resume=given.resume,
        work=given.work,
        master=given.master,
        bucket_rows=given.bucket_rows,
        json_path=given.json,
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument(
        "--input",
        required=True,
        metavar="URL_OR_PATH",
        help="a .parquet or .csv file, a folder of such, or a URL that data_connector fetches",
    )
    data.add_argument(
        "--table", help="its table of transactions (default: transactions, or the only one)"
    )
    data.add_argument("--columns", type=Path, metavar="FILE", help="TOML file, see below")
    data.add_argument(
        "--labels",
        metavar="URL_OR_PATH",
        help="transaction_id, is_fraud and labelled_at, any number a transaction (default: columns"
        " of the transactions, or the table labels of the same database)",
    )
    data.add_argument("--labels-table", metavar="TABLE", help="its table of labels")
    data.add_argument(
        "--delay-days",
        type=at_least(0),
        default=7,
        metavar="N",
        help="days until a label without labelled_at is known (default: 7)",
    )
    for name, what in (
        ("since", "score from then on; what was before counts as history"),
        ("until", "score what was before; what is later does not count"),
    ):
        data.add_argument(f"--{name}", type=instant, metavar="YYYY-MM-DD", help=f"{what} (UTC)")


def _add_model_and_output(parser: argparse.ArgumentParser) -> None:
    results = parser.add_argument_group("model and output")
    results.add_argument(
        "--model",
        metavar="VERSION",
        help="a version or alias in the model store, or the folder of an artifact (default:"
        " champion, or the newest)",
    )
    results.add_argument(
        "--output",
        required=True,
        metavar="FOLDER_OR_URL",
        help="a folder of Parquet files by day, or a database in which rows are upserted",
    )
    results.add_argument(
        "--output-table", default="scores", metavar="TABLE", help="its table (default: scores)"
    )
    results.add_argument(
        "--json", type=Path, metavar="PATH", help="also write the numbers, as name, value, unit"
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("work")
    work.add_argument("--resume", action="store_true", help="go on with a run that was killed")
    work.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="where the run works, on the output's disk (default: beside it; for a database in"
        " $FRAUD_HOME)",
    )
    work.add_argument(
        "--master",
        metavar="URL",
        help="Spark's (default: all cores of this machine, or what spark-submit says)",
    )
    work.add_argument(
        "--bucket-rows",
        type=at_least(1),
        default=BUCKET_ROWS,
        metavar="N",
        help="rows that a task holds in memory, about (default: %(default)s)",
    )
