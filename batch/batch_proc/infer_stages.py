"""The stages of a scoring run: features and scores by each key in turn, then days."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_proc.day_files import DayTask, ScoredRows, day_pieces, group_days
from batch_proc.infer_model import ChosenModel
from batch_proc.key_run import (
    FEW_BUCKETS,
    Work,
    begin,
    files_of,
    run_key_stages,
    run_step,
)
from batch_proc.progress import Stage, Stages
from batch_proc.score_rows import SAMPLE, ScoreRows
from batch_proc.spark_jobs import shared

_FEW_ROWS = 10_000  # of days: each is a file, and waits for the disk
SAMPLE_ROWS = 5_000
"""Of the scored rows so many, about, are kept with their features for the report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What the stages did."""

    n_rows: int
    """Of the input."""
    records: list[dict[str, Any]]
    """What the last stage by key recorded of each bucket."""
    days: Path
    """The folder with the days."""
    rows_by_day: dict[dt.date, int]
    """How many rows were scored of each day."""
    exchanged: int
    """Bytes that tasks left for those of the next stage."""
    day_records: list[dict[str, Any]]
    """What the days' tasks recorded."""
    samples: tuple[Path, ...]
    """Files with some of the scored rows and their features."""


def run_stages(work: Work, model: ChosenModel, stages: Stages) -> Done:
    """All that is to be done before the days can be published.

    Raises:
        DataError: the rows are no transactions.
        SparkError: Spark failed.
        WriteError: there is no room.
    """
    begun = begin(work, stages)
    n_scored = sum(begun.rows_by_day.values())
    few = max(n_scored // FEW_BUCKETS, _FEW_ROWS)
    groups = group_days(begun.rows_by_day, target=min(few, work.bucket_rows))
    time = work.source.layout.column["timestamp"]
    pieces = day_pieces(groups, begun.rows_by_day, time=time, target=work.bucket_rows)
    with shared(work.session, model.packed) as packed:
        scoring = ScoreRows(
            placing=pieces,
            sampled=min(SAMPLE_ROWS / n_scored, 1.0),
            packed=packed,
            checksum=model.packed.checksum,
        )
        ended = run_key_stages(work, begun, scoring, stages, what="score")
    step = ended.step
    days = work.ledger.folder / "days"
    with stages.stage("days", "write days") as stage:
        scored = ScoredRows(files=files_of(step), pieces=pieces)
        day_records = _write_days(work, model, stage, days, scored, len(groups))
        stage.say(f"{len(begun.rows_by_day)} days")
    return Done(
        n_rows=begun.n_rows,
        records=list(step.done().values()),
        days=days,
        rows_by_day=begun.rows_by_day,
        exchanged=ended.exchanged,
        day_records=day_records,
        samples=tuple(path for part in step.done() if (path := step.data(part, SAMPLE)).exists()),
    )


def _write_days(
    work: Work, model: ChosenModel, stage: Stage, days: Path, scored: ScoredRows, n_groups: int
) -> list[dict[str, Any]]:
    step = work.ledger.step("stage-days")
    task = DayTask(
        layout=work.source.layout,
        scored=scored,
        step=step,
        folder=days,
        model_name=model.name,
        model_version=model.version,
        checksum=model.packed.checksum,
    )
    run_step(work, step, n_groups, task.work, stage)
    return list(step.done().values())
