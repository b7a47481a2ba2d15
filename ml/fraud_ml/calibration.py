"""Whether a score of 0.3 means fraud in 3 of 10 payments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fraud_ml._checks import Bools, Floats, check_probabilities, check_scores
from fraud_ml.metrics import Ints


@dataclass(frozen=True, slots=True)
class CalibrationBins:
    """Score against outcome, in the bins that hold a payment: shape ``(B,)`` each, ascending."""

    mean_score: Floats
    fraud_rate: Floats
    count: Ints


def brier_score(is_fraud: Bools, score: Floats) -> float:
    """The mean squared difference of score and outcome, 0 to 1; lower is better (Brier, 1950).

    Args:
        is_fraud: shape ``(N,)``.
        score: probabilities, shape ``(N,)``.

    Raises:
        ValueError: shapes differ, a score is no probability, or there is no fraud.
    """
    check_scores(is_fraud, score)
    check_probabilities(score)
    return float(((score.astype(np.float64) - is_fraud) ** 2).mean())


def calibration_bins(
    is_fraud: Bools,
    score: Floats,
    *,
    n_bins: int = 15,
    binning: Literal["mass", "width"] = "mass",
) -> CalibrationBins:
    """Mean score and fraud rate of payments that score alike.

    ``mass`` cuts at the scores' quantiles, so that bins hold about as many payments; ``width`` cuts
    0 to 1 into equal parts, of which the lowest holds nearly all payments where fraud is rare. A
    score on a cut belongs to the lower bin, so that equal scores share one. These are the bins of
    scikit-learn's ``calibration_curve``, its ``quantile`` and ``uniform``.

    Args:
        is_fraud: shape ``(N,)``.
        score: probabilities, shape ``(N,)``.
        n_bins: at least 1.
        binning: ``mass`` or ``width``.

    Raises:
        ValueError: shapes differ, a score is no probability, there is no fraud, ``n_bins < 1``, or
            ``binning`` is another.
    """
    check_scores(is_fraud, score)
    check_probabilities(score)
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins=}")
    if binning not in ("mass", "width"):
        raise ValueError(f"binning must be 'mass' or 'width', got {binning!r}")
    score = score.astype(np.float64)
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    cuts = np.percentile(score, inner * 100) if binning == "mass" else inner
    place = np.searchsorted(cuts, score)
    count = np.bincount(place, minlength=n_bins)
    held = count > 0
    return CalibrationBins(
        mean_score=np.bincount(place, score, n_bins)[held] / count[held],
        fraud_rate=np.bincount(place, is_fraud, n_bins)[held] / count[held],
        count=count[held],
    )


def expected_calibration_error(
    is_fraud: Bools,
    score: Floats,
    *,
    n_bins: int = 15,
    binning: Literal["mass", "width"] = "mass",
) -> float:
    """How far the fraud rate is from the score, mean over payments, 0 to 1; lower is better.

    ECE: the absolute difference of mean score and fraud rate a bin, weighted by the payments in
    it. Naeini, Cooper, Hauskrecht: "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning" (2015), with ``width``; Nixon et al.: "Measuring Calibration in Deep Learning" (2019)
    for why ``mass``. Values of different bins do not compare: say which.

    Args and raises: as :func:`calibration_bins`.
    """
    bins = calibration_bins(is_fraud, score, n_bins=n_bins, binning=binning)
    return float(np.average(np.abs(bins.mean_score - bins.fraud_rate), weights=bins.count))
