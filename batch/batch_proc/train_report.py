"""The report of a training: one page about what the stored model reached, and on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch_proc.fold import CARDS_A_DAY, Fold, Rows
from batch_proc.history import History
from batch_proc.measures import Measure
from batch_proc.report.explained import Example, examples, mean_contributions, notable
from batch_proc.report.measured import (
    Scored,
    calibration_points,
    count_scores,
    outcomes,
    precision_at,
    quality,
    stopped_amounts,
)
from batch_proc.report.page import Section, page
from batch_proc.report.quality_sections import (
    calibration_section,
    card_precision_section,
    confusion_section,
    headline_section,
    precision_recall_section,
)
from batch_proc.report.run_sections import lineage_section, measures_section, seconds_section
from batch_proc.report.score_sections import (
    Drifted,
    drift_section,
    reasons_section,
    score_section,
    thresholds_of,
)
from batch_proc.report.words import counted
from fraud_ml.distribution import fit_distribution
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.model import FraudNet
from fraud_ml.policy import CapacityPolicy, Decision


@dataclass(frozen=True, slots=True)
class Training:
    """What a training leaves to report on."""

    history: History
    fold: Fold
    spec: FeatureSpec
    net: FraudNet
    score: npt.NDArray[np.float32]
    """Of the test's rows, shape ``(N,)``."""
    policy: CapacityPolicy
    lineage: Mapping[str, str]


def train_page(
    title: str,
    training: Training,
    measures: Sequence[Measure],
    seconds: Mapping[str, float],
    verdict: str,
) -> str:
    """The whole page, as HTML.

    Args:
        title: the model's name and version.
        training: what to report on.
        measures: all numbers of the run.
        seconds: by stage.
        verdict: whether it is the champion, and why.
    """
    scored = scored_rows(training.history, training.fold.test, training.score)
    n_days, n_frauds = len(np.unique(scored.day)), int(scored.is_fraud.sum())
    lead = (
        f"Trained on {counted(len(training.fold.train), 'payment')} of"
        f" {training.lineage['train_days']}, tested on {counted(len(scored), 'payment')} of"
        f" {training.lineage['test_days']}, {n_frauds:,} of them frauds. Customers known to be"
        " compromised before are left out of the test."
    )
    found = quality(scored, k=CARDS_A_DAY)
    decision = training.policy.decide(scored.score, scored.amount)
    thresholds = thresholds_of(training.policy)
    sections = [
        headline_section(found, k=CARDS_A_DAY, n_days=n_days, verdict=verdict),
        precision_recall_section(
            found, n_payments=len(scored), n_frauds=n_frauds, marks=_marks(scored, decision)
        ),
        card_precision_section(scored, k=CARDS_A_DAY),
        confusion_section(
            outcomes(decision, scored),
            stopped=stopped_amounts(scored),
            looked_at=float((decision > Decision.APPROVE).sum()) / n_days,
        ),
        calibration_section(calibration_points(scored.is_fraud, scored.score)),
        score_section(_counted(scored), thresholds),
        *_of_features(training, scored, decision),
        lineage_section(training.lineage),
        seconds_section(seconds),
        measures_section(measures),
    ]
    return page(title, lead, sections)


def scored_rows(history: History, rows: Rows, score: npt.NDArray[np.float32]) -> Scored:
    """The rows of a fold as reports take them."""
    amount = history.transactions.column("amount").to_numpy()[rows.number]
    return Scored(
        day=rows.day,
        customer=rows.customer,
        is_fraud=rows.is_fraud,
        score=score,
        amount=amount,
    )


def _marks(scored: Scored, decision: npt.NDArray[np.int8]) -> list[tuple[float, float, str]]:
    """Recall and precision of what the policy flags."""
    flagged = (
        (decision >= Decision.DECLINE, "declined"),
        (decision >= Decision.REVIEW, "reviewed or declined"),
    )
    return [(*reached, name) for rows, name in flagged if (reached := precision_at(scored, rows))]


def _counted(scored: Scored) -> dict[str, list[int]]:
    return {
        "honest payments": count_scores(scored.score[~scored.is_fraud]).tolist(),
        "frauds": count_scores(scored.score[scored.is_fraud]).tolist(),
    }


def _of_features(
    training: Training, scored: Scored, decision: npt.NDArray[np.int8]
) -> list[Section]:
    names, test = training.spec.names, training.fold.test.features
    drifted = []
    for name, before, now in zip(names, training.fold.train.features.T, test.T, strict=True):
        distribution = fit_distribution(before)
        counts = tuple(distribution.count(now).tolist())
        drifted.append(Drifted(name=name, distribution=distribution, counts=counts))
    return [
        reasons_section(
            mean_contributions(training.net, test, names), _examples(training, scored, decision)
        ),
        drift_section(
            drifted,
            title="Features in training and in the test",
            before="the training's payments",
            now="the test's payments",
        ),
    ]


def _examples(training: Training, scored: Scored, decision: npt.NDArray[np.int8]) -> list[Example]:
    chosen = notable(scored.is_fraud, scored.score, decision)
    at = np.array([row for row, _ in chosen], dtype=np.int64)
    rows = training.history.transactions.take(training.fold.test.number[at])
    return examples(
        training.net,
        training.spec,
        training.fold.test.features[at],
        transactions=rows.to_pylist(),
        titles=[title for _, title in chosen],
        score=scored.score[at],
    )
