"""What the report of a scoring run is made of: the tasks' counts, and a sample of the rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch_proc.bucket_rows import IS_FRAUD, Layout
from batch_proc.infer_model import ChosenModel
from batch_proc.infer_report import Inference
from batch_proc.infer_stages import Done
from batch_proc.pieces import OnePiece, read_piece
from batch_proc.report.explained import Example, examples, mean_contributions, notable
from batch_proc.report.score_sections import DayOfDecisions
from batch_proc.score_rows import DECISION, SCORE


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a run leaves for its report."""

    days: tuple[DayOfDecisions, ...]
    """In order."""
    score_counts: list[int]
    layout: Layout
    sample: pa.Table
    """Some of the scored rows, chosen by their ids: what was decided, and their features."""


def facts_of(done: Done, layout: Layout) -> Facts:
    """What the tasks recorded, added up."""
    days = {}
    for record in done.day_records:
        for day, of_day in record["days"].items():
            days[day] = DayOfDecisions(
                day=dt.date.fromisoformat(day),
                payments={name: int(rows) for name, (rows, _) in of_day.items()},
                amounts={name: amount for name, (_, amount) in of_day.items()},
            )
    sample = read_piece(done.samples, 0, OnePiece())
    return Facts(
        days=tuple(days[day] for day in sorted(days)),
        score_counts=np.sum([record["scores"] for record in done.day_records], axis=0).tolist(),
        layout=layout,
        sample=pa.table({}) if sample is None else layout.in_order(sample),
    )


def inference_of(facts: Facts, model: ChosenModel, lineage: Mapping[str, str]) -> Inference:
    """What :func:`~batch_proc.infer_report.infer_page` takes.

    Args:
        facts: of the run.
        model: that scored.
        lineage: where the scores come from.
    """
    artifact, sample = model.artifact, facts.sample
    drift_counts: dict[str, list[int]] = {}
    contributions: list[tuple[str, float]] = []
    found: list[Example] = []
    if sample.num_rows:
        features, score = facts.layout.matrix(sample), sample.column(SCORE).to_numpy()
        contributions = mean_contributions(artifact.net, features, artifact.spec.names)
        found = _examples(facts, model, features, score)
        if artifact.reference is not None:
            drift_counts = {
                name: it.count(features[:, at]).tolist()
                for at, (name, it) in enumerate(artifact.reference.features.items())
            }
            drift_counts["score"] = artifact.reference.score.count(score).tolist()
    return Inference(
        days=facts.days,
        score_counts=facts.score_counts,
        policy=artifact.policy,
        reference=artifact.reference,
        drift_counts=drift_counts,
        contributions=contributions,
        examples=found,
        lineage={
            **lineage,
            "drift, contributions, examples": f"of {sample.num_rows:,} payments, chosen by id",
        },
    )


def _examples(
    facts: Facts,
    model: ChosenModel,
    features: npt.NDArray[np.float32],
    score: npt.NDArray[np.float32],
) -> list[Example]:
    sample = facts.sample
    is_fraud = sample.column(IS_FRAUD).to_numpy()
    chosen = notable(is_fraud, score, sample.column(DECISION).to_numpy())
    at = np.array([row for row, _ in chosen], dtype=np.int64)
    return examples(
        model.artifact.net,
        model.artifact.spec,
        features[at],
        transactions=facts.layout.transactions(sample.take(at)).to_pylist(),
        titles=[title for _, title in chosen],
        score=score[at],
    )
