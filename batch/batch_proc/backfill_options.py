"""The command line of `//batch:backfill`."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_proc.column_names import read_column_names
from batch_proc.data_options import MODEL_NAME, at_least, check_folder, instant, read_spec
from data_connector import ModelNotFoundError, ModelStore
from data_connector.command import UsageError
from data_connector.model_aliases import choose
from fraud_ml.feature_spec import FeatureSpec

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_HELP = """\
With transactions: counts the history into a new state of the features of a model, beside the
running service, and swaps it in. With --labels alone: tells the service of the labels that are new
since the last time.

Labels are those of --labels (transaction_id, is_fraud, labelled_at), else the column is_fraud of
the transactions (known at labelled_at, else --delay-days after), else the table labels beside them.

The columns file holds lines  ours = "theirs"  as for //batch:train.

State is kept in $FRAUD_HOME (default: .fraud in the workspace).
Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelOptions:
    """Newly arrived labels, and whom to tell."""

    labels: str
    table: str | None
    feature_store: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillOptions:
    """Which history, of which features, and where to put the state."""

    transactions: str
    table: str | None
    column_names: dict[str, str]
    """Our column name to the source's."""
    labels: str | None
    labels_table: str | None
    label_delay: dt.timedelta
    spec: FeatureSpec
    of: str
    """Whose features they are, for people."""
    until: int | None
    """Microseconds since 1970-01-01 UTC; None: as of now."""
    feature_store: str
    save_every: float
    """Seconds."""
    resume: bool
    json_path: Path | None

    @property
    def shown(self) -> str:
        """The table of transactions, for messages."""
        return self.table or "transactions"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./bazelw run //batch:backfill --",
        description="Rebuild the state of the features from history, or tell of new labels.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--transactions",
        "--source",  # as the other commands call it
        dest="transactions",
        metavar="URL_OR_PATH",
        help="a SQLAlchemy URL, a .parquet or .csv file, or a folder of .parquet files (default:"
        " $FRAUD_HOME/transactions.db, unless --labels is given)",
    )
    data.add_argument(
        "--table", help="its table of transactions (default: transactions, or the only one)"
    )
    data.add_argument("--columns", type=Path, metavar="FILE", help="TOML file, see below")
    data.add_argument("--labels", metavar="URL_OR_PATH", help="labels, see below")
    data.add_argument("--labels-table", help="its table of labels (default: the only one)")
    data.add_argument(
        "--delay-days",
        type=at_least(0),
        metavar="N",
        help="days until a label is known that does not say when (default: 7)",
    )
    data.add_argument(
        "--until",
        type=_microseconds,
        metavar="TIME",
        help="only what happened, and what was known, before, as 2018-07-25 or 2018-07-25T12:00Z"
        " (default: now)",
    )
    features = parser.add_argument_group("features").add_mutually_exclusive_group()
    features.add_argument(
        "--model",
        metavar="VERSION",
        help="a version or alias, whose features they are (default: the champion, or the newest)",
    )
    features.add_argument("--spec", type=Path, metavar="FILE", help="TOML file of the features")
    where = parser.add_argument_group("where")
    where.add_argument(
        "--feature-store", metavar="URL", help="as of the service (default: in $FRAUD_HOME)"
    )
    where.add_argument("--model-store", metavar="URL", help="(default: $FRAUD_HOME/models)")
    run = parser.add_argument_group("run")
    run.add_argument(
        "--resume", action="store_true", help="go on with the same backfill that was broken off"
    )
    run.add_argument(
        "--save-every",
        type=at_least(0),
        metavar="SECONDS",
        help="how often to keep how far it is (default: 60)",
    )
    run.add_argument(
        "--json", type=Path, metavar="PATH", help="also write the numbers, as name, value, unit"
    )
    return parser


def parse_backfill_options(
    home: Path, arguments: Sequence[str] | None = None
) -> BackfillOptions | LabelOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Args:
        home: `$FRAUD_HOME`.
        arguments: by default those of the process.

    Raises:
        UsageError: the options are well formed, but do not go together, or what they name cannot
            be used.
        ArtifactError: the model is damaged.
        ConnectorError: the model store cannot be read.
    """
    given = _parser().parse_args(arguments)
    feature_store = given.feature_store or f"sqlite:///{home / 'features.db'}"
    if given.transactions is None and given.labels is not None:
        return _label_options(given, feature_store)
    transactions = given.transactions or _usual_transactions(home)
    check_folder("--json", given.json)
    if given.spec:
        spec, of = read_spec(given.spec), str(given.spec)
    else:
        spec, of = _spec_of_model(given.model_store or str(home / "models"), given.model)
    return BackfillOptions(
        transactions=transactions,
        table=given.table,
        column_names=read_column_names(given.columns, spec) if given.columns else {},
        labels=given.labels,
        labels_table=given.labels_table,
        label_delay=dt.timedelta(days=7 if given.delay_days is None else given.delay_days),
        spec=spec,
        of=of,
        until=given.until,
        feature_store=feature_store,
        save_every=60 if given.save_every is None else given.save_every,
        resume=given.resume,
        json_path=given.json,
    )


def _label_options(given: argparse.Namespace, feature_store: str) -> LabelOptions:
    of_a_history = ("table", "columns", "delay_days", "until", "model", "spec", "model_store",
                    "resume", "save_every", "json")  # fmt: skip
    for name in of_a_history:
        if getattr(given, name):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is of use with --transactions only, which is not given")
    return LabelOptions(labels=given.labels, table=given.labels_table, feature_store=feature_store)


def _usual_transactions(home: Path) -> str:
    usual = home / "transactions.db"
    if not usual.exists():
        raise UsageError(
            f"there is no {usual}: name the history, --transactions URL_OR_PATH, or new labels,"
            " --labels URL_OR_PATH"
        )
    return f"sqlite:///{usual}"


def _spec_of_model(url: str, wanted: str | None) -> tuple[FeatureSpec, str]:
    from fraud_ml.artifact import load_artifact  # torch: seconds that others need not wait

    store = ModelStore(url)
    try:
        stored = choose(store, MODEL_NAME, wanted)
    except ModelNotFoundError as error:
        raise UsageError(
            f"{error}; features are those of a model (./bazelw run //batch:train makes one), or"
            " --spec FILE"
        ) from error
    return load_artifact(stored.path).spec, f"{stored.name} version {stored.version}"


def _microseconds(text: str) -> int:
    """Since 1970-01-01 UTC."""
    return (instant(text) - _EPOCH) // dt.timedelta(microseconds=1)
