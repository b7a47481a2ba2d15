"""What every metric asks of labels and scores before it measures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


def check_scores(is_fraud: Bools, score: Floats) -> None:
    """Raises ``ValueError`` unless there is one finite score a label, and a fraud to find."""
    if is_fraud.ndim != 1 or is_fraud.shape != score.shape:
        raise ValueError(f"one label a score, got shapes {is_fraud.shape} and {score.shape}")
    if is_fraud.dtype != np.bool_:
        raise ValueError(f"is_fraud must be boolean, got {is_fraud.dtype}")
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite, got NaN or infinity")
    if not is_fraud.any():
        raise ValueError("there is no fraud to find, got is_fraud all False")


def check_probabilities(score: Floats) -> None:
    """Raises ``ValueError`` unless every score is a probability, 0 to 1."""
    if not ((score >= 0) & (score <= 1)).all():  # NaN is neither
        raise ValueError("scores must be probabilities, 0 to 1, got others")


def check_amounts(amount: Floats, score: Floats) -> None:
    """Raises ``ValueError`` unless there is one finite amount, at least 0, a score."""
    if amount.shape != score.shape:
        raise ValueError(f"one amount a score, got shapes {amount.shape} and {score.shape}")
    if not ((amount >= 0) & (amount < np.inf)).all():
        raise ValueError("amounts must be finite and at least 0")
