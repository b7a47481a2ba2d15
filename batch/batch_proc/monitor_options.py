"""The command line of `//batch:monitor`."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_proc.data_options import at_least, check_folder, instant
from batch_proc.fold import CARDS_A_DAY
from batch_proc.monitor_thresholds import THRESHOLDS_HELP, Thresholds, read_thresholds
from data_connector.command import UsageError

_EPILOG = f"""\
Scores are rows with transaction_id, timestamp, score and, where there are, customer_id, amount,
decision, model (or model_name), version (or model_version) and scored_at: the service's log of
decisions, or what //batch:infer wrote. Labels are rows with transaction_id, is_fraud and, where
there is one, labelled_at; without it a label counts as known --delay-days after its payment.

A day's quality is measured when it is closed: --delay-days after its end, and of the labels that
are known by then. Drift needs no labels and is measured on the latest days.

{THRESHOLDS_HELP}
State is kept in $FRAUD_HOME (default: .fraud in the workspace).
Exit codes: 0 done, 1 failed or, with --fail-on-alert, an alert; 2 wrong usage.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorOptions:
    """What to watch, until when, and where to put what was found."""

    scores: str
    """A SQLAlchemy URL or a path, as the next two."""
    scores_table: str | None
    labels: str
    labels_table: str | None
    transactions: str | None
    """None: features are not computed, and their drift is not known."""
    table: str | None
    columns: Path | None
    models: str | None
    """Folder or URL of the model store; None: that of `$FRAUD_HOME`."""
    model: str
    version: int | None
    """None: all that scored."""
    as_of: dt.datetime
    """In UTC; what became known later does not count."""
    days: int
    delay_days: int
    cards_a_day: int
    thresholds: Thresholds
    history: str | None
    """URL of a database; None: that of `$FRAUD_HOME`."""
    report: Path | None
    json_path: Path | None
    fail_on_alert: bool


def parse_monitor_options(arguments: Sequence[str] | None = None) -> MonitorOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Raises:
        UsageError: the options are well formed, but what they name cannot be used.
    """
    given = _parser().parse_args(arguments)
    if given.transactions is None and (given.columns or given.table):
        raise UsageError("--columns and --table describe --transactions, which is not given")
    check_folder("--report", given.report)
    check_folder("--json", given.json)
    thresholds = read_thresholds(given.thresholds) if given.thresholds else Thresholds()
    return MonitorOptions(
        scores=given.scores,
        scores_table=given.scores_table,
        labels=given.labels,
        labels_table=given.labels_table,
        transactions=given.transactions,
        table=given.table,
        columns=given.columns,
        models=given.models,
        model=given.model,
        version=given.version,
        as_of=given.as_of or dt.datetime.now(dt.UTC),
        days=given.days,
        delay_days=given.delay_days,
        cards_a_day=given.cards_a_day,
        thresholds=thresholds,
        history=given.history,
        report=given.report,
        json_path=given.json,
        fail_on_alert=given.fail_on_alert,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./bazelw run //batch:monitor --",
        description="Watch a model at work: its quality, calibration and drift, with alerts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_data(parser.add_argument_group("data"))
    model = parser.add_argument_group("model")
    model.add_argument(
        "--models", metavar="URL_OR_PATH", help="its store (default: $FRAUD_HOME/models)"
    )
    model.add_argument("--model", default="fraud", metavar="NAME", help="(default: fraud)")
    model.add_argument(
        "--version", type=at_least(1), metavar="N", help="(default: each that scored)"
    )
    _add_days(parser.add_argument_group("days (UTC)"))
    _add_results(parser.add_argument_group("results"))
    return parser


def _add_data(data: argparse._ArgumentGroup) -> None:
    where = "a SQLAlchemy URL, a .parquet or .csv file, or a folder of .parquet files"
    data.add_argument("--scores", required=True, metavar="URL_OR_PATH", help=f"scored: {where}")
    data.add_argument(
        "--scores-table", metavar="NAME", help="its table (default: decisions, or the only one)"
    )
    data.add_argument("--labels", required=True, metavar="URL_OR_PATH", help="the same")
    data.add_argument(
        "--labels-table", metavar="NAME", help="its table (default: labels, or the only one)"
    )
    data.add_argument(
        "--transactions",
        metavar="URL_OR_PATH",
        help="all payments, to compute features and their drift from, and the customers"
        " (default: neither, unless the scores tell the customers)",
    )
    data.add_argument(
        "--table", help="its table of transactions (default: transactions, or the only one)"
    )
    data.add_argument(
        "--columns", type=Path, metavar="FILE", help="names of its columns, as for //batch:train"
    )


def _add_results(out: argparse._ArgumentGroup) -> None:
    out.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="when to raise an alarm, see below"
    )
    out.add_argument(
        "--history",
        metavar="URL",
        help="database that keeps the measures of each day (default: $FRAUD_HOME/monitor.db)",
    )
    out.add_argument(
        "--report",
        type=Path,
        metavar="PATH",
        help="the HTML page (default: $FRAUD_HOME/reports/monitor-MODEL-DATE.html)",
    )
    out.add_argument(
        "--json", type=Path, metavar="PATH", help="also write the numbers, as name, value, unit"
    )
    out.add_argument(
        "--fail-on-alert", action="store_true", help="exit with 1 where there is an alert"
    )


def _add_days(days: argparse._ArgumentGroup) -> None:
    days.add_argument(
        "--as-of",
        type=instant,
        metavar="TIME",
        help="watch as if it were then: YYYY-MM-DD or a time in ISO 8601 (default: now)",
    )
    days.add_argument(
        "--days",
        type=at_least(1),
        default=7,
        metavar="N",
        help="days that are judged together, of quality and of drift (default: 7)",
    )
    days.add_argument(
        "--delay-days",
        type=at_least(0),
        default=7,
        metavar="N",
        help="days until a transaction's label is known (default: 7)",
    )
    days.add_argument(
        "--cards-a-day",
        type=at_least(1),
        default=CARDS_A_DAY,
        metavar="N",
        help="cards that investigators look at (default: %(default)s)",
    )
