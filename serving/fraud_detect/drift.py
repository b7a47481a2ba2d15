"""How far the last hour's scores and features are from those of training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import numpy as np

from fraud_detect.scored_batch import ScoredBatch
from fraud_ml.distribution import N_BINS, Reference, psi

MINUTES = 60
LEAST_ROWS = 1_000
"""Fewer say nothing: by chance alone, their index would be about ``10 / N``."""

_BINS = N_BINS + 1  # the last is for missing values
_MINUTE = 60.0  # seconds


class Drift:
    """A watcher of a :class:`~fraud_detect.scorer.Scorer`, that counts what it sees by minutes."""

    def __init__(
        self, reference: Reference, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing was seen.

        Args:
            reference: of training.
            clock: seconds.
        """
        self._reference = reference
        all_of_them = (*reference.features.values(), reference.score)
        self._n_edges = [len(each.edges) for each in all_of_them]
        self._edges = np.full((N_BINS - 1, 1, len(all_of_them)), np.inf, dtype=np.float32)
        for column, each in enumerate(all_of_them):
            self._edges[: len(each.edges), 0, column] = each.edges
        self._first = np.arange(len(all_of_them), dtype=np.intp) * _BINS
        self._counts = np.zeros((MINUTES, len(all_of_them) * _BINS), dtype=np.int64)
        self._clock = clock
        self._minute = int(clock() // _MINUTE)
        self._turn = threading.Lock()

    def __call__(self, batch: ScoredBatch) -> None:
        """Counts a batch."""
        values = np.concatenate([batch.features, batch.scores[:, np.newaxis]], axis=1)
        above = (values > self._edges).view(np.uint8)  # (9, B, F + 1)
        bins = above.sum(axis=0, dtype=np.uint8)
        bins[np.isnan(values)] = N_BINS
        counts = np.bincount((bins + self._first).ravel(), minlength=self._counts.shape[1])
        with self._turn:
            self._forget()
            self._counts[self._minute % MINUTES] += counts

    def measure(self) -> tuple[int, float, Mapping[str, float]]:
        """How many rows the last hour had, and the index of the score and of each feature.

        The indices are 0 as long as there are fewer than :data:`LEAST_ROWS`.
        """
        with self._turn:
            self._forget()
            counts = self._counts.sum(axis=0).reshape(-1, _BINS)
        n_rows = int(counts[-1].sum())
        distributions = (*self._reference.features.values(), self._reference.score)
        found = [
            psi(each, np.append(row[: n_edges + 1], row[N_BINS])) if n_rows >= LEAST_ROWS else 0.0
            for each, row, n_edges in zip(distributions, counts, self._n_edges, strict=True)
        ]
        return n_rows, found[-1], dict(zip(self._reference.features, found[:-1], strict=True))

    def _forget(self) -> None:
        """Begins the minute that it is, and forgets those of an hour ago and before."""
        now = int(self._clock() // _MINUTE)
        for minute in range(max(self._minute, now - MINUTES) + 1, now + 1):
            self._counts[minute % MINUTES] = 0
        self._minute = now
