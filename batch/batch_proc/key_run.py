"""The stages that every run over a history has: read, then features by each key in turn.

What is done is not done again: another process goes on from what the ledger has.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from batch_proc import survey
from batch_proc.bucket_rows import Labels, Span
from batch_proc.bucket_task import Before, BucketTask, Last
from batch_proc.bucketing import Buckets
from batch_proc.infer_input import Input
from batch_proc.infer_options import SPLIT_BUCKETS
from batch_proc.key_stages import KeyStage, plan_stages, reach_of
from batch_proc.parts import RepeatsError
from batch_proc.pieces import Placing
from batch_proc.progress import Stage, Stages
from batch_proc.raw_rows import RawRows
from batch_proc.read_task import IDS, ById, ByLabelledId, ReadLabelsTask, ReadTask
from batch_proc.row_places import check_repeats, places_of
from batch_proc.run_ledger import Run, Step
from batch_proc.source_files import Split
from batch_proc.spark_jobs import FailedTaskError, gather, run_parts
from fraud_ml.errors import DataError

_SMALL_BUCKET = 50_000  # rows: with fewer, what a task costs by itself is no longer small
FEW_BUCKETS = 16
"""That many cores have work also where all rows would fit into fewer buckets."""
_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What the stages work on."""

    session: SparkSession
    ledger: Run
    source: Input
    since: dt.datetime | None
    until: dt.datetime | None
    bucket_rows: int

    @property
    def rows(self) -> RawRows:
        """The transactions."""
        return self.source.transactions.raw(self.source.layout.source_names)

    @property
    def splits(self) -> list[Split]:
        """All transactions; the same for the same files."""
        return self.divided(self.rows)

    def divided(self, rows: RawRows) -> list[Split]:
        """A table's rows, for a task each."""
        few = max(rows.files.n_rows // FEW_BUCKETS, _SMALL_BUCKET)
        return rows.files.splits(min(few, SPLIT_BUCKETS * self.bucket_rows))

    @property
    def n_buckets(self) -> int:
        """How many buckets of at most about ``bucket_rows``; the same for the same rows."""
        rows = self.rows.files.n_rows
        return max(-(-rows // self.bucket_rows), min(FEW_BUCKETS, -(-rows // _SMALL_BUCKET)))

    @property
    def counted(self) -> Span:
        """The times of the rows that count, in microseconds."""
        since, until = self.wanted
        spec = self.source.layout.spec
        reach = reach_of(spec)
        if since is None or reach is None:
            return None, until
        # One instant more than windows reach, since they are counted in whole instants.
        instant = spec.resolution // _MICROSECOND
        return since // instant * instant - reach // _MICROSECOND, until

    @property
    def wanted(self) -> Span:
        """The times of the rows that are to come out, in microseconds."""
        return _microseconds(self.since), _microseconds(self.until)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which stages there are, and where their rows go."""

    stages: tuple[KeyStage, ...]
    buckets: tuple[Buckets, ...]
    """Of each stage."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What is read, and how it goes on from there."""

    plan: Plan
    read: Step
    """It holds the rows of the input, checked, for the first stage."""
    n_rows: int
    """Of the input."""
    rows_by_day: dict[dt.date, int]
    """How many rows of each day are to come out."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What the stages by key did."""

    step: Step
    """The last one, which holds what came out."""
    exchanged: int
    """Bytes that tasks left for those of the next stage."""


def begin(work: Work, stages: Stages) -> Begun:
    """Looks for hot keys, and reads and checks all rows.

    Raises:
        DataError: the rows are no transactions.
        SparkError: Spark failed.
        WriteError: there is no room.
    """
    with stages.stage("survey", "look for hot keys") as stage:
        plan = _plan(work)
        n_rows = work.rows.files.n_rows
        stage.say(f"{n_rows:,} rows")
    with stages.stage("read", "read transactions") as stage:
        step = _read(work, plan, stage)
        rows_by_day = _rows_by_day(work, step)
    return Begun(plan, step, n_rows, rows_by_day)


def run_key_stages(
    work: Work, begun: Begun, last: Last, stages: Stages, *, what: str = "features"
) -> Ended:
    """All features of the rows, computed stage by stage.

    Args:
        work: what to work on.
        begun: what was read.
        last: what becomes of the rows when they have all features.
        stages: progress.
        what: the last stage gives, for people.

    Raises:
        DataError: the rows are no transactions.
        SparkError: Spark failed.
        WriteError: there is no room.
    """
    plan, step = begun.plan, begun.read
    before = _before(work, step, plan)
    exchanged = bytes_of(step)
    for number, key in enumerate(plan.stages):
        gives = what if number + 1 == len(plan.stages) else "features"
        with stages.stage(f"stage_{number + 1}", f"{gives} by {key.name}") as stage:
            done, step = step, _run_key_stage(work, plan, number, before, last, stage)
            done.discard_data()
        exchanged += bytes_of(step)
        before = Before(rows=files_of(step), placing=_placing_after(plan, number, last))
    return Ended(step, exchanged)


def _plan(work: Work) -> Plan:
    """The stages, and the slices of hot keys, cut once a run."""
    rows, spec, column = work.rows, work.source.layout.spec, work.source.layout.column
    if not rows.files.n_rows:
        raise DataError("there are no transactions: the input has columns but no rows")
    spread_first = work.source.layout.labels is Labels.LIST
    kept = work.ledger.kept("survey.json")
    if kept is None:
        ask = partial(gather, work.session)
        threshold = 2 * work.bucket_rows
        hot = survey.find_hot_keys(rows, spec, work.splits, ask, threshold=threshold)
        stages = plan_stages(spec, set(hot), spread_first=spread_first)
        found = survey.cut_hot_keys(
            rows,
            spec,
            work.splits,
            ask,
            stages,
            hot,
            target=work.bucket_rows,
            n_buckets=work.n_buckets,
        )
        kept = {
            "hot": sorted(list(key) for key in hot),
            "slices": [survey.to_json(slices) for slices in found],
        }
        work.ledger.keep("survey.json", kept)
    stages = plan_stages(spec, {tuple(key) for key in kept["hot"]}, spread_first=spread_first)
    buckets = tuple(
        Buckets(
            key=tuple(column[name] for name in stage.key),
            identity=column["transaction_id"],
            time=column["timestamp"],
            n_usual=work.n_buckets,
            slices=survey.from_json(slices),
        )
        for stage, slices in zip(stages, kept["slices"], strict=True)
    )
    return Plan(stages, buckets)


def _read(work: Work, plan: Plan, stage: Stage) -> Step:
    """The step that holds the rows of the input, checked, for the first stage."""
    step = work.ledger.step("read")
    splits = work.splits
    task = ReadTask(
        rows=work.rows,
        layout=work.source.layout,
        splits=tuple(splits),
        step=step,
        placing=plan.buckets[0],
        n_ids=work.n_buckets,
        size=work.bucket_rows,
        counted=work.counted,
        wanted=work.wanted,
    )
    run_step(work, step, len(splits), task.work, stage)
    labels = work.source.labels
    if labels is not None:
        rows = labels.raw({})
        step_of_labels = work.ledger.step("read-labels")
        of_labels = ReadLabelsTask(
            rows=rows,
            splits=tuple(work.divided(rows)),
            step=step_of_labels,
            n_pieces=work.n_buckets,
            size=work.bucket_rows,
        )
        run_step(work, step_of_labels, len(of_labels.splits), of_labels.work, stage)
    stage.say(f"{len(splits)} parts")
    return step


def _rows_by_day(work: Work, read: Step) -> dict[dt.date, int]:
    days: Counter[str] = Counter()
    for record in read.done().values():
        days.update(record["days"])
    if not days:
        since = f" from {work.since}" if work.since else ""
        until = f" before {work.until}" if work.until else ""
        raise DataError(f"there are no transactions{since}{until}")
    return {dt.date.fromisoformat(day): days[day] for day in sorted(days)}


def _before(work: Work, read: Step, plan: Plan) -> Before:
    """What the first stage begins with."""
    n = work.n_buckets
    ids = tuple(path for part in read.done() if (path := read.data(part, IDS)).exists())
    labels = None
    if work.source.labels is not None:
        labels = files_of(work.ledger.step("read-labels"))
    return Before(
        rows=files_of(read),
        placing=plan.buckets[0],
        ids=ids,
        ids_placing=ById(n_pieces=n),
        labels=labels,
        labels_placing=ByLabelledId(n_pieces=n),
    )


def _run_key_stage(
    work: Work,
    plan: Plan,
    number: int,
    before: Before,
    last: Last,
    stage: Stage,
) -> Step:
    """The step that holds the rows after a stage."""
    step = work.ledger.step(f"stage-{number + 1}")
    buckets = plan.buckets[number]
    task = BucketTask(
        layout=work.source.layout,
        stages=plan.stages,
        number=number,
        before=before,
        step=step,
        placing=_placing_after(plan, number, last),
        own={it.bucket: (it.slice.start, it.slice.stop) for it in buckets.slices},
        wanted=work.wanted,
        last=last,
    )
    try:
        run_step(work, step, buckets.n_pieces, task.work, stage)
    except RepeatsError:
        check_repeats(work.session, work.rows, work.splits, before, size=work.bucket_rows)
        raise
    cut = f", {len(buckets.slices)} slices of hot keys" if buckets.slices else ""
    n_features = len(plan.stages[number].features)
    stage.say(f"{n_features} features, {buckets.n_pieces} buckets{cut}")
    return step


def _placing_after(plan: Plan, number: int, last: Last) -> Placing:
    """What those need who take the rows after a stage."""
    return last.placing if number + 1 == len(plan.stages) else plan.buckets[number + 1]


def run_step(
    work: Work, step: Step, n_parts: int, task: Callable[[int], None], stage: Stage
) -> None:
    """Has all parts of a step done that are not."""
    done = step.done()
    parts = [part for part in range(n_parts) if part not in done]
    try:
        run_parts(work.session, parts, task, step, stage)
    except FailedTaskError as error:
        raise _with_place(work, error) from None


def _with_place(work: Work, error: FailedTaskError) -> DataError:
    """The error, and where in the user's files the row is."""
    places: Sequence[str] = []
    if error.transaction_id is not None:
        size = work.bucket_rows
        places = places_of(work.session, work.rows, work.splits, error.transaction_id, size=size)
    return DataError(f"{error}; it is in {places[0]}" if places else str(error))


def files_of(step: Step) -> tuple[Path, ...]:
    """The files of a step's parts that have rows."""
    return tuple(step.data(part) for part, record in step.done().items() if record["rows"])


def bytes_of(step: Step) -> int:
    """Of all files of a step."""
    return sum(record["bytes"] for record in step.done().values())


def _microseconds(time: dt.datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND
