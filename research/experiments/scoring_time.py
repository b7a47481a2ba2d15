"""How long a model takes to score: one payment at a time, and many at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BATCH = 4_096
_SECONDS = 0.3  # to go on measuring
_TIMES = 5  # at least, however long they take

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoringTime:
    """Microseconds; the median of some calls."""

    one: float
    """Of a call with one row."""
    row: float
    """Of each row of a call with :data:`BATCH` of them."""


def time_scoring(score: Callable[[Floats], Floats], features: Floats) -> ScoringTime:
    """How long ``score`` takes for rows of ``features``, shape (N, F), called as it is.

    So it includes what the model's own library does before and after: checks, conversion, threads.
    """
    many = np.resize(features, (BATCH, features.shape[1]))  # repeated where there are fewer
    return ScoringTime(
        one=_microseconds(score, [row[None] for row in many[:256]]),
        row=_microseconds(score, [many]) / BATCH,
    )


def _microseconds(score: Callable[[Floats], Floats], calls: list[Floats]) -> float:
    score(calls[0])  # what is done once only
    seconds: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(seconds) < _TIMES or time.perf_counter() < end:
        features = calls[len(seconds) % len(calls)]
        started = time.perf_counter()
        score(features)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e6
