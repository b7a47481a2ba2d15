"""How sure a metric is: intervals from resampling customers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric, and between which values it lies."""

    estimate: float
    """On the rows as they are."""
    low: float
    high: float


def bootstrap_interval(
    metric: Callable[[Ints, Ints], float],
    customer: npt.NDArray[np.generic],
    *,
    confidence: float = 0.95,
    n_resamples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """The metric's percentile interval over resamples of customers; same seed, same interval.

    A customer's payments stand or fall together: resampling single payments would take the frauds
    of one card for independent, and give intervals that are too narrow. So whole customers are
    drawn with replacement, as many as there are. Davison and Hinkley: "Bootstrap Methods and
    their Application" (1997), section 3.8; percentiles as in Efron (1979).

    For two models on the same rows, let ``metric`` return their difference.

    Args:
        metric: takes row numbers and, one a row, the number of the draw that it came with; a
            customer that is drawn twice is two cards, of different numbers. For AP:
            ``lambda row, card: average_precision(is_fraud[row], score[row])``; for CP@k, pass
            ``card`` as its ``customer``.
        customer: id or number of each payment's customer, shape ``(N,)``.
        confidence: between 0 and 1.
        n_resamples: at least 1.
        seed: of the draws.

    Raises:
        ValueError: an argument is out of range, there is no customer, or ``metric`` is undefined on
            a resample, as without a fraud in it.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence=}")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples=}")
    if len(customer) == 0:
        raise ValueError("there is no customer to resample, got no rows")
    ids, code, n_rows = np.unique(customer, return_inverse=True, return_counts=True)
    by_customer = np.argsort(code, kind="stable")
    first = np.cumsum(n_rows) - n_rows  # of each customer, in by_customer

    rng = np.random.default_rng(seed)
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        drawn = rng.integers(len(ids), size=len(ids))
        size = n_rows[drawn]
        ends = np.cumsum(size)
        within = np.arange(ends[-1]) - np.repeat(ends - size, size)
        row = by_customer[np.repeat(first[drawn], size) + within]
        values[i] = metric(row, np.repeat(np.arange(len(ids)), size))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    estimate = metric(np.arange(len(code)), code.astype(np.int64))
    return Interval(estimate=float(estimate), low=float(low), high=float(high))
