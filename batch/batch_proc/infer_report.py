"""The report of a scoring run: one page about what was decided, and of which payments.

It takes what may be added up over the parts of a large data set: counts and sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batch_proc.measures import Measure
from batch_proc.report.explained import Example
from batch_proc.report.page import Section, page
from batch_proc.report.run_sections import lineage_section, measures_section, seconds_section
from batch_proc.report.score_sections import (
    DayOfDecisions,
    Drifted,
    amounts_section,
    decisions_section,
    drift_section,
    reasons_section,
    score_section,
    thresholds_of,
)
from batch_proc.report.words import counted
from fraud_ml.distribution import Reference
from fraud_ml.policy import DecisionPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """What a scoring run leaves to report on."""

    days: Sequence[DayOfDecisions]
    """In order."""
    score_counts: Sequence[int]
    """Sums of :func:`batch_proc.report.measured.count_scores`."""
    policy: DecisionPolicy | None
    reference: Reference | None
    """Of the model; None where it has none."""
    drift_counts: Mapping[str, Sequence[int]]
    """By ``score`` and the features' names, sums of what ``Distribution.count`` returned for the
    reference's; what was not counted may be left out."""
    contributions: Sequence[tuple[str, float]]
    """Of a sample, by :func:`batch_proc.report.explained.mean_contributions`."""
    examples: Sequence[Example]
    """Of :func:`batch_proc.report.explained.examples`; may be empty."""
    lineage: Mapping[str, str]


def infer_page(
    title: str, run: Inference, measures: Sequence[Measure], seconds: Mapping[str, float]
) -> str:
    """The whole page, as HTML.

    Args:
        title: the model's name and version.
        run: what to report on.
        measures: all numbers of the run, as the command prints them.
        seconds: by stage.
    """
    n_payments = sum(run.score_counts)
    lead = f"{counted(n_payments, 'payment')} scored."
    if run.days:
        lead = (
            f"{counted(n_payments, 'payment')} of {counted(len(run.days), 'day')} scored,"
            f" {run.days[0].day} to {run.days[-1].day}."
        )
    sections = [
        decisions_section(run.days),
        amounts_section(run.days),
        score_section({"payments": run.score_counts}, thresholds_of(run.policy)),
        *_drift(run),
        reasons_section(run.contributions, run.examples),
        lineage_section(run.lineage),
        seconds_section(seconds),
        measures_section(measures),
    ]
    return page(title, lead, sections)


def _drift(run: Inference) -> list[Section]:
    if run.reference is None:
        return []
    score = run.drift_counts.get("score")
    features = [
        Drifted(name=name, distribution=each, counts=tuple(run.drift_counts[name]))
        for name, each in run.reference.features.items()
        if name in run.drift_counts
    ]
    now = "the scored payments"
    sections = []
    if score is not None:
        of_score = Drifted(name="score", distribution=run.reference.score, counts=tuple(score))
        sections.append(drift_section([of_score], title="Drift of the score", now=now))
    if features:
        sections.append(drift_section(features, title="Drift of the features", now=now))
    return sections
