"""What a threshold is worth in money: fraud stopped, minus what looking at payments costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fraud_ml._checks import Bools, Floats, check_amounts, check_scores
from fraud_ml.metrics import Ints, threshold_steps


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Money at each threshold, from none reviewed to all: shape ``(T + 1,)`` each, in currency."""

    threshold: Floats
    """Payments that score at least it are reviewed: infinity first, then the distinct scores."""
    reviewed: Ints
    """How many payments that is."""
    saved: Floats
    """Sum of the amounts of the frauds among them."""
    review_cost: Floats
    """What reviewing them costs."""

    @property
    def net(self) -> Floats:
        """Saved minus review cost, against reviewing nothing."""
        return self.saved - self.review_cost

    @property
    def best(self) -> int:
        """Where ``net`` is largest; among equals, with the fewest reviews."""
        return int(np.argmax(self.net))


def cost_curve(is_fraud: Bools, score: Floats, amount: Floats, *, review_cost: float) -> CostCurve:
    """Amount saved and review cost at every threshold.

    A reviewed fraud is stopped whole, a missed one costs its amount, and a review costs the same
    whatever it finds. ``net`` is then the total cost without a model minus the one with it, under
    the cost matrix of Bahnsen, Stojanovic, Aouada, Ottersten: "Cost Sensitive Credit Card Fraud
    Detection Using Bayes Minimum Risk" (2013), section II, their administrative cost being ours
    of a review.

    Args:
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.
        amount: in currency, shape ``(N,)``.
        review_cost: of one payment, in the same currency, at least 0.

    Raises:
        ValueError: shapes differ, a score or an amount is out of range, or there is no fraud.
    """
    check_scores(is_fraud, score)
    check_amounts(amount, score)
    if not 0 <= review_cost < np.inf:
        raise ValueError(f"review_cost must be finite and at least 0, got {review_cost=}")
    steps = threshold_steps(is_fraud, score)
    reviewed = np.append(0, steps.flagged)
    stopped = np.cumsum(np.where(is_fraud, amount, 0.0)[steps.order])
    return CostCurve(
        threshold=np.append(np.inf, steps.threshold),
        reviewed=reviewed,
        saved=np.append(0.0, stopped[steps.flagged - 1]),
        review_cost=reviewed * review_cost,
    )
