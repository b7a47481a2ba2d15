"""How sure a metric is: intervals from resampling customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    draws = resamples(customer, n_resamples=n_resamples, seed=seed)
    values = np.array([metric(row, card) for row, card in draws])
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    code = np.unique(customer, return_inverse=True)[1].astype(np.int64)
    estimate = metric(np.arange(len(code)), code)
    return Interval(estimate=float(estimate), low=float(low), high=float(high))


def resamples(
    customer: npt.NDArray[np.generic], *, n_resamples: int = 1_000, seed: int = 0
) -> Iterator[tuple[Ints, Ints]]:
    """The draws of :func:`bootstrap_interval`: row numbers, and the number of the draw of each.

    For what is more than one number, such as a curve, or several that shall share their draws.

    Args:
        customer: id or number of each payment's customer, shape ``(N,)``.
        n_resamples: at least 1.
        seed: of the draws.

    Raises:
        ValueError: an argument is out of range, or there is no customer.
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples=}")
    if len(customer) == 0:
        raise ValueError("there is no customer to resample, got no rows")
    return _draw(customer, n_resamples, np.random.default_rng(seed))


def _draw(
    customer: npt.NDArray[np.generic], n_resamples: int, rng: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    ids, code, n_rows = np.unique(customer, return_inverse=True, return_counts=True)
    by_customer = np.argsort(code, kind="stable")
    first = np.cumsum(n_rows) - n_rows  # of each customer, in by_customer
    for _ in range(n_resamples):
        drawn = rng.integers(len(ids), size=len(ids))
        size = n_rows[drawn]
        ends = np.cumsum(size)
        within = np.arange(ends[-1]) - np.repeat(ends - size, size)
        row = by_customer[np.repeat(first[drawn], size) + within]
        yield row, np.repeat(np.arange(len(ids)), size)
