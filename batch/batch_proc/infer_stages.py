"""The stages of a run: by each key in turn, then by day; what is done is not done again."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from batch_proc.bucket_task import BucketTask, Model, Span
from batch_proc.day_files import DayTask, group_days, grouped_by_day
from batch_proc.hot_keys import HotSlice, bucketed, cut_hot_keys
from batch_proc.infer_input import Input
from batch_proc.infer_model import ChosenModel
from batch_proc.key_stages import KeyStage, past_of
from batch_proc.progress import Stages
from batch_proc.run_ledger import Run, Step
from batch_proc.spark_jobs import FailedTaskError, run_parts, spark_errors
from batch_proc.survey import Survey, places_of, survey
from batch_proc.time_slices import Slice
from fraud_ml.errors import DataError

_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What the stages work on."""

    session: SparkSession
    ledger: Run
    source: Input
    model: ChosenModel
    since: dt.datetime | None
    until: dt.datetime | None
    bucket_rows: int

    @property
    def scored(self) -> Span:
        """The times of the rows to score, in microseconds."""
        return _microseconds(self.since), _microseconds(self.until)


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What the stages did."""

    n_rows: int
    """Of the input."""
    records: list[dict[str, Any]]
    """What the last stage by key recorded of each bucket."""
    days: Path
    """The folder with the days."""
    n_buckets: int

    def rows_by_day(self) -> dict[dt.date, int]:
        """How many rows were scored of each day."""
        days: Counter[str] = Counter()
        for record in self.records:
            days.update(record.get("days", {}))
        return {dt.date.fromisoformat(day): rows for day, rows in days.items()}


def run_stages(work: Work, stages: Stages) -> Done:
    """All that is to be done before the days can be published.

    Raises:
        DataError: the rows are no transactions.
        SparkError: Spark failed.
        WriteError: there is no room.
    """
    with stages.stage("survey", "count transactions") as stage:
        found = _survey(work)
        stage.say(f"{found.n_rows:,} rows")
    plan = found.stages(work.source)
    n_buckets = found.n_buckets(work.bucket_rows)
    before: Step | None = None
    for number in range(len(plan)):
        before = _run_key_stage(work, stages, plan, number, before, n_buckets)
    assert before is not None  # noqa: S101 - a plan has at least one stage
    records = list(before.done().values())
    done = Done(
        n_rows=found.n_rows,
        records=records,
        days=work.ledger.folder / "days",
        n_buckets=n_buckets,
    )
    _write_days(work, stages, done, before)
    return done


def _survey(work: Work) -> Survey:
    kept = work.ledger.kept("survey.json")
    if kept is not None:
        return Survey(**kept)
    found = survey(work.source, work.session, bucket_rows=work.bucket_rows)
    work.ledger.keep("survey.json", dataclasses.asdict(found))
    return found


def _run_key_stage(
    work: Work,
    stages: Stages,
    plan: Sequence[KeyStage],
    number: int,
    before: Step | None,
    n_buckets: int,
) -> Step:
    """The step that holds the rows after a stage."""
    key = plan[number]
    is_last = number + 1 == len(plan)
    step = work.ledger.step(f"stage-{number + 1}")
    with stages.stage(
        f"stage_{number + 1}", f"{'score' if is_last else 'features'} by {key.name}"
    ) as stage:
        rows = _rows(work, before)
        slices = _slices(work, key, number, rows, n_buckets)
        done = step.done()
        parts = [it for it in range(n_buckets + len(slices)) if it not in done]
        layout = work.source.layout
        if slices:
            rows = _with_time(rows, layout.column["timestamp"])
        column = layout.column
        rows = bucketed(rows, key.key, slices, n_buckets=n_buckets, column=column)
        packed = work.session.sparkContext.broadcast(work.model.packed)
        task = BucketTask(
            layout=layout,
            stages=tuple(plan),
            number=number,
            step=step,
            buckets=tuple(parts),
            own={it.bucket: (it.slice.start, it.slice.stop) for it in slices},
            scored=work.scored,
            model=Model(packed=packed, checksum=work.model.packed.checksum),
        )
        try:
            run_parts(rows, parts, task.run, step, stage)
        except FailedTaskError as error:
            raise _with_place(work, error) from None
        finally:
            packed.destroy()
        cut = f", {len(slices)} slices of hot keys" if slices else ""
        stage.say(f"{len(key.features)} features, {n_buckets + len(slices)} buckets{cut}")
    return step


def _rows(work: Work, before: Step | None) -> DataFrame:
    """The rows that a stage begins with: of the input, or of the step before."""
    if before is None:
        return work.source.rows(work.session, until=work.until)
    files = [str(before.data(part)) for part, it in before.done().items() if it["rows"]]
    if not files:
        raise DataError(f"there are no transactions before {work.until}")
    with spark_errors():
        return work.session.read.parquet(*files)


def _slices(
    work: Work, key: KeyStage, number: int, rows: DataFrame, n_buckets: int
) -> list[HotSlice]:
    """The slices of a stage's hot keys, cut once a run."""
    name = f"slices-{number + 1}.json"
    kept = work.ledger.kept(name)
    if kept is not None:
        return [
            HotSlice(**{**it, "values": tuple(it["values"]), "slice": Slice(**it["slice"])})
            for it in kept
        ]
    found: list[HotSlice] = []
    layout = work.source.layout
    if list(key.key) in _survey(work).hot:
        with spark_errors():
            found = cut_hot_keys(
                _with_time(rows, layout.column["timestamp"]),
                key,
                past_of(key.features, layout.spec),
                resolution=layout.spec.resolution // _MICROSECOND,
                target=work.bucket_rows,
                n_buckets=n_buckets,
                column=layout.column,
            )
    work.ledger.keep(name, [dataclasses.asdict(it) for it in found])
    return found


def _with_time(rows: DataFrame, column: str) -> DataFrame:
    return rows.withColumn("time", sf.unix_micros(sf.col(column).cast("timestamp")))


def _write_days(work: Work, stages: Stages, done: Done, last: Step) -> None:
    step = work.ledger.step("stage-days")
    with stages.stage("days", "write days") as stage:
        groups = group_days(done.rows_by_day(), target=work.bucket_rows)
        if not groups:
            raise DataError("there are no transactions to score between --since and --until")
        written = step.done()
        parts = [it for it in range(len(groups)) if it not in written]
        layout = work.source.layout
        task = DayTask(
            layout=layout,
            step=step,
            groups=tuple(parts),
            folder=done.days,
            model_name=work.model.name,
            model_version=work.model.version,
            checksum=work.model.packed.checksum,
        )
        rows = grouped_by_day(_rows(work, last), layout, groups)
        order = (layout.column["timestamp"], layout.column["transaction_id"])
        run_parts(rows, parts, task.run, step, stage, order=order)
        stage.say(f"{sum(len(group) for group in groups)} days")


def _with_place(work: Work, error: FailedTaskError) -> DataError:
    """The error, and where in the user's files the row is."""
    places: list[str] = []
    if error.transaction_id is not None:
        places = places_of(work.source, work.session, error.transaction_id)
    return DataError(f"{error}; it is in {places[0]}" if places else str(error))


def _microseconds(time: dt.datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND
