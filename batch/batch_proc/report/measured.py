"""What the reports show of scored payments whose truth is known, measured once, as plain data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch_proc.report.charts import Curve
from fraud_ml.bootstrap import Interval, resamples
from fraud_ml.costs import cost_curve
from fraud_ml.metrics import (
    CardsByDay,
    cards_by_day,
    threshold_steps,
)
from fraud_ml.policy import Decision

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

RESAMPLES = 200  # of customers: an interval's ends to about a tenth of its width, in seconds
_RECALLS = np.linspace(0, 1, 101)[1:]
_ODDS = np.linspace(-11.5, 11.5, 47)  # log-odds of 0.001 % to 99.999 %
SCORE_EDGES: tuple[float, ...] = tuple((1 / (1 + np.exp(-_ODDS))).tolist())
"""Of the 46 bins in which scores are counted; what lies outside of all is in the outermost."""
_BINS_A_POINT = 4  # bins of scores in a point of the calibration, a factor of 7 in odds


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """N payments with their scores and what became of them: shape ``(N,)`` each."""

    day: Ints
    """Days since 1970-01-01."""
    customer: npt.NDArray[np.generic]
    is_fraud: Bools
    score: Floats
    amount: Floats
    """In currency."""

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: npt.NDArray[np.generic]) -> Scored:
        """Some of the payments: their numbers, or a mask."""
        return Scored(
            day=self.day[rows],
            customer=self.customer[rows],
            is_fraud=self.is_fraud[rows],
            score=self.score[rows],
            amount=self.amount[rows],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How well the scores tell frauds from others, and how sure that is."""

    auc: Interval | None
    """None where all are frauds."""
    ap: Interval
    card_precision: Interval
    curve: Curve


def quality(scored: Scored, *, k: int, n_resamples: int = RESAMPLES) -> Quality | None:
    """AUC, AP, CP@k and the precision-recall curve with 95 % intervals; None without a fraud.

    The intervals are those of :func:`~fraud_ml.bootstrap.bootstrap_interval`, of all from the same
    draws of customers. A draw without a fraud tells nothing and is left out.

    Args:
        scored: the payments.
        k: cards a day that investigators look at.
        n_resamples: draws.
    """
    if not scored.is_fraud.any():
        return None
    draws = []
    for row, card in resamples(scored.customer, n_resamples=n_resamples):
        if scored.is_fraud[row].any():
            part = scored.take(row)
            draws.append(_numbers(part.day, card, part.is_fraud, part.score, k))
    at_all = _numbers(scored.day, scored.customer, scored.is_fraud, scored.score, k)
    low, high = np.quantile(np.array(draws or [at_all]), [0.025, 0.975], axis=0)
    ends = [Interval(*(float(it[number]) for it in (at_all, low, high))) for number in range(3)]
    return Quality(
        auc=None if scored.is_fraud.all() else ends[0],
        ap=ends[1],
        card_precision=ends[2],
        curve=Curve(
            recall=_RECALLS.tolist(),
            precision=at_all[3:].tolist(),
            low=low[3:].tolist(),
            high=high[3:].tolist(),
        ),
    )


def _numbers(
    day: Ints, customer: npt.NDArray[np.generic], is_fraud: Bools, score: Floats, k: int
) -> npt.NDArray[np.float64]:
    """AUC, AP, CP@k, and the precision at each of the recalls; one sort for all."""
    steps = threshold_steps(is_fraud, score)
    recall, precision = steps.found / steps.found[-1], steps.found / steps.flagged
    passed = steps.flagged - steps.found
    wrong = passed / max(int(passed[-1]), 1)
    auc = np.trapezoid(np.append(0.0, recall), np.append(0.0, wrong))
    ap = (np.diff(recall, prepend=0.0) * precision).sum()
    cards = cards_by_day(day, customer, is_fraud, score, k)
    card_precision = cards.found.sum() / (k * len(cards.day))
    at = np.searchsorted(recall, _RECALLS - 1e-12)
    return np.concatenate(([auc, ap, card_precision], precision[at]))


def cards_of_days(scored: Scored, *, k: int) -> CardsByDay | None:
    """Cards looked at and found each day; None without a fraud."""
    if not scored.is_fraud.any():
        return None
    return cards_by_day(scored.day, scored.customer, scored.is_fraud, scored.score, k)


def date_of(day: int) -> dt.date:
    """The date, from days since 1970-01-01."""
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(day))


def count_scores(score: Floats) -> npt.NDArray[np.int64]:
    """How many scores lie between the :data:`SCORE_EDGES`: counts of parts may be added up."""
    return np.bincount(_bin_of(score), minlength=len(SCORE_EDGES) - 1).astype(np.int64)


def _bin_of(score: Floats) -> npt.NDArray[np.intp]:
    return np.searchsorted(np.array(SCORE_EDGES[1:-1]), score.astype(np.float64))


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationPoint:
    """Payments that score alike."""

    score: float
    """Their mean."""
    frauds: int
    payments: int
    low: float
    """Of the share of frauds: Wilson's 95 % interval (1927), as the next."""
    high: float

    @property
    def share(self) -> float:
        """Of frauds."""
        return self.frauds / self.payments


def calibration_points(is_fraud: Bools, score: Floats) -> list[CalibrationPoint]:
    """Score against outcome, by ranges of the score that grow like its odds, ascending."""
    group = _bin_of(score) // _BINS_A_POINT
    payments = np.bincount(group)
    frauds = np.bincount(group, is_fraud).astype(np.int64)
    total = np.bincount(group, score.astype(np.float64))
    points = []
    for number in np.flatnonzero(payments).tolist():
        n, found = int(payments[number]), int(frauds[number])
        low, high = wilson(found, n)
        score_of = float(total[number] / n)
        points.append(
            CalibrationPoint(score=score_of, frauds=found, payments=n, low=low, high=high)
        )
    return points


def wilson(found: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of which ``found`` of ``n`` were seen (Wilson, 1927)."""
    z = 1.959964
    share, spread = found / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * ((share * (1 - share) + spread / 4) / n) ** 0.5 / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of the payments with one decision; amounts in currency."""

    decision: str
    frauds: int
    fraud_amount: float
    others: int
    other_amount: float


def outcomes(decision: npt.NDArray[np.int8], scored: Scored) -> list[Outcome]:
    """An outcome for each decision, the harshest first."""
    found = []
    for kind in sorted(Decision, reverse=True):
        fraud = (decision == kind) & scored.is_fraud
        other = (decision == kind) & ~scored.is_fraud
        found.append(
            Outcome(
                decision=kind.name.lower(),
                frauds=int(fraud.sum()),
                fraud_amount=float(scored.amount[fraud].sum()),
                others=int(other.sum()),
                other_amount=float(scored.amount[other].sum()),
            )
        )
    return found


def stopped_amounts(scored: Scored) -> list[tuple[float, float]]:
    """Payments looked at a day, by the highest scores, and the share of the frauds' amount in them.

    At most 200 points of the curve, closer together where there are few payments; none where no
    fraud had an amount.
    """
    total = float(scored.amount[scored.is_fraud].sum())
    if not total:
        return []
    curve = cost_curve(scored.is_fraud, scored.score, scored.amount, review_cost=0.0)
    last = len(curve.reviewed) - 1
    at: Sequence[int] = np.unique(np.geomspace(1, max(last, 1), 200).astype(np.int64)).tolist()
    n_days = len(np.unique(scored.day))
    return [(float(curve.reviewed[i]) / n_days, float(curve.saved[i]) / total) for i in at]


def precision_at(scored: Scored, flagged: Bools) -> tuple[float, float] | None:
    """Recall and precision of what is flagged; None where nothing is, or there is no fraud."""
    if not flagged.any() or not scored.is_fraud.any():
        return None
    found = int(scored.is_fraud[flagged].sum())
    return found / int(scored.is_fraud.sum()), found / int(flagged.sum())
