"""Training rows whose features Spark computes: of a history that does not fit into memory.

The days to train on, to wait for labels and to test on must fit; what they look back at need not.
"""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from batch_proc.bucket_rows import IS_FRAUD, LABELLED_AT, LABELS, Labels, Layout
from batch_proc.data_options import DataOptions
from batch_proc.fold import Days, Fold, Rows, fold_of
from batch_proc.history import History
from batch_proc.infer_input import Input, Sources, find_input
from batch_proc.infer_options import BUCKET_ROWS
from batch_proc.inputs import choose_days, source_of
from batch_proc.key_run import Work, begin, files_of, run_key_stages
from batch_proc.lineage import fingerprint
from batch_proc.pieces import OnePiece, read_piece
from batch_proc.progress import Stages
from batch_proc.raw_rows import RawRows
from batch_proc.run_ledger import Step, run_folder
from batch_proc.source_files import Split
from batch_proc.spark_jobs import gather
from batch_proc.spark_session import spark_session
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.features import feature_matrix
from fraud_ml.transactions import label_schema


@dataclass(frozen=True, slots=True)
class KeepRows:
    """What the last stage does: it keeps rows whole, with what is known of them."""

    placing: OnePiece = field(default_factory=OnePiece)

    def keeps(self, layout: Layout) -> frozenset[str]:
        """All columns."""
        return frozenset({*layout.column.values(), LABELLED_AT, LABELS})

    def take(
        self,
        layout: Layout,
        rows: pa.Table,
        step: Step,  # noqa: ARG002 - as `Last` has it, as the next
        bucket: int,  # noqa: ARG002
    ) -> tuple[pa.Table, dict[str, Any]]:
        """The rows with their newest label and its time."""
        if layout.labels is Labels.LIST:
            lists = rows.column(LABELS).combine_chunks()
            length = pc.list_value_length(lists).to_numpy()
            last = pa.array(np.cumsum(length) - 1, mask=length == 0)
            at = pc.list_flatten(lists).field(LABELLED_AT).take(last)
            rows = rows.drop_columns([LABELS]).append_column(LABELLED_AT, at)
        return rows, {}


@dataclass(frozen=True, slots=True)
class Ready:
    """The rows of the days, in time order."""

    history: History
    features: pa.Table
    """A column a feature, row by row the history's."""
    days: Days
    n_rows: int
    """Of the source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Computation:
    """All that it takes to compute features, of whatever spec."""

    options: DataOptions
    source: str
    home: Path
    master: str | None
    stages: Stages

    def ready(self, spec: FeatureSpec, days: Days | None, stages: Stages) -> Ready:
        """The rows of the days with the features of a spec; without days, of those to choose."""
        sources = Sources(
            transactions=self.source,
            table=self.options.table,
            delay_days=self.options.delay_days,
        )
        with stages.stage("look", "look at the transactions"):
            source = find_input(sources, spec, self.options.column_names)
            if source.layout.labels is Labels.NONE:
                raise DataError(
                    "no labels: the transactions have no column is_fraud, and the source has no"
                    " table labels; name the column in the --columns file"
                )
        work_folder = self.home / "work" / "train"
        with run_folder(work_folder, resume=False) as folder, ExitStack() as ending:
            ending.callback(folder.remove)
            ledger = folder.begin({})
            if not source.is_here:
                with stages.stage("fetch", "fetch transactions") as stage:
                    source = source.here(ledger.folder, lambda rows, _: stage.say(f"{rows:,} rows"))
            with stages.stage("spark", "start Spark"):
                session = ending.enter_context(
                    spark_session(folder.path / "spark", master=self.master)
                )
            if days is None:
                days = choose_days(self.options, partial(last_day, session, source))
            work = Work(
                session=session,
                ledger=ledger,
                source=source,
                since=_midnight(days.train_start),
                until=_midnight(days.end),
                bucket_rows=BUCKET_ROWS,
            )
            begun = begin(work, stages)
            ended = run_key_stages(work, begun, KeepRows(), stages)
            history, features = read_rows(ended.step, source.layout)
        return Ready(history, features, days, begun.n_rows)


@dataclass(frozen=True, slots=True)
class BySpark:
    """Training data of which this process has the days alone."""

    ready: Ready
    computation: Computation

    @property
    def history(self) -> History:
        """Of the days alone."""
        return self.ready.history

    @property
    def days(self) -> Days:
        """As they follow each other."""
        return self.ready.days

    @property
    def n_rows(self) -> int:
        """Of the source."""
        return self.ready.n_rows

    @property
    def fingerprint(self) -> str:
        """Of the days, and of what their features tell of the rest."""
        history = self.history
        return fingerprint((history.transactions, history.labels, self.ready.features))

    def fold(self) -> Fold:
        """As `TrainingData` says."""
        return fold_of(self.history, self.ready.features, self.days)

    def features_of(self, rows: Rows, spec: FeatureSpec) -> npt.NDArray[np.float32]:
        """As `TrainingData` says: Spark reads all anew."""
        stages = self.computation.stages.called("champion_")
        now = self.computation.ready(spec, self.days, stages)
        ids, before = (
            it.transactions.column("transaction_id") for it in (now.history, self.history)
        )
        if not ids.equals(before):
            raise DataError("the transactions changed while they were read")
        return feature_matrix(now.features.take(rows.number))


def compute_by_spark(
    options: DataOptions, home: Path, stages: Stages, *, master: str | None
) -> BySpark:
    """The rows of the days that the options name, with features that Spark computes.

    Args:
        options: of the command.
        home: has a folder to work in, on a disk with room for the transactions.
        stages: progress.
        master: Spark's; None: this machine, or what spark-submit says.

    Raises:
        ConnectorError: the source cannot be read.
        DataError: it holds no transactions and labels.
        SparkError: Spark does not run, or failed.
    """
    source = source_of(options, home, stages)
    computation = Computation(
        options=options, source=source, home=home, master=master, stages=stages
    )
    return BySpark(computation.ready(options.spec, None, stages), computation)


def read_rows(step: Step, layout: Layout) -> tuple[History, pa.Table]:
    """What the tasks kept: transactions and labels, and row by row their features."""
    kept = read_piece(files_of(step), 0, OnePiece())
    assert kept is not None  # noqa: S101 - without rows `begin` ends
    rows = layout.in_order(kept)
    transactions = layout.transactions(rows)
    ids = transactions.column("transaction_id")
    labels = pa.table(
        [ids, rows.column(IS_FRAUD), rows.column(LABELLED_AT)],
        schema=label_schema(transaction_id=ids.type),
    )
    features = rows.select(list(layout.feature.values())).rename_columns(list(layout.feature))
    return History(transactions, labels), features


def last_day(session: SparkSession, source: Input) -> dt.date:
    """In UTC, of the transactions.

    Raises:
        DataError: there are none.
    """
    rows = source.transactions.raw(source.layout.source_names)
    if not rows.files.n_rows:
        raise DataError("there are no transactions: the source has columns but no rows")
    ask = partial(_last_day, rows, source.layout)
    return max(gather(session, ask, rows.files.splits(BUCKET_ROWS)))


def _last_day(rows: RawRows, layout: Layout, split: Split) -> dt.date:
    last: list[dt.datetime] = []
    for chunk in rows.chunks(split, BUCKET_ROWS):
        in_order = layout.checked(chunk.rows)
        last.append(in_order.column(layout.column["timestamp"])[-1].as_py())
    return max(last).date()


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
