"""How far the last hour's scores and features are from those of training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from fraud_detect.scored_batch import ScoredBatch
from fraud_ml.distribution import N_BINS, Reference, psi

MINUTES = 60
LEAST_ROWS = 1_000
"""Fewer say nothing: by chance alone, their index would be about ``10 / N``."""

_MINUTE = 60.0  # seconds
_AT_ONCE = 2_048  # rows that are counted together

Floats = npt.NDArray[np.float32]


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
        self._edges = np.full((N_BINS - 1, len(all_of_them), 1), np.inf, dtype=np.float32)
        for number, each in enumerate(all_of_them):
            self._edges[: len(each.edges), number, 0] = each.edges
        # Of each minute, the rows in each bin, and those without a value, of each number.
        self._counts = np.zeros((MINUTES, N_BINS + 1, len(all_of_them)), dtype=np.int64)
        self._values = np.empty((len(all_of_them), _AT_ONCE), dtype=np.float32)
        self._n_waiting = 0  # of its columns
        self._above = np.empty((*self._edges.shape[:2], _AT_ONCE), dtype=np.bool_)
        self._clock = clock
        self._minute = int(clock() // _MINUTE)
        self._turn = threading.Lock()

    def __call__(self, batch: ScoredBatch) -> None:
        """Counts a batch, with others at once: those of few rows take longer one by one."""
        with self._turn:
            self._forget()
            done = 0
            while done < len(batch.scores):
                stop = done + _AT_ONCE - self._n_waiting
                self._take(batch.features[done:stop], batch.scores[done:stop])
                if self._n_waiting == _AT_ONCE:
                    self._count()
                done = stop

    def measure(self) -> tuple[int, float, Mapping[str, float]]:
        """How many rows the last hour had, and the index of the score and of each feature.

        The indices are 0 as long as there are fewer than :data:`LEAST_ROWS`.
        """
        with self._turn:
            self._forget()
            self._count()
            counts = self._counts.sum(axis=0).T
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
        if now > self._minute:
            self._count()
        for minute in range(max(self._minute, now - MINUTES) + 1, now + 1):
            self._counts[minute % MINUTES] = 0
        self._minute = now

    def _take(self, features: Floats, scores: Floats) -> None:
        values = self._values[:, self._n_waiting : self._n_waiting + len(scores)]
        values[:-1], values[-1] = features.T, scores
        self._n_waiting += len(scores)

    def _count(self) -> None:
        """Counts what waits: it was seen in this minute."""
        values = self._values[:, : self._n_waiting]
        above = np.greater(values, self._edges, out=self._above[:, :, : self._n_waiting])
        # In bits: to count those is quicker than to add up flags.
        n_above = np.bitwise_count(np.packbits(above, axis=2)).sum(axis=2, dtype=np.int64)
        n_missing = np.isnan(values).sum(axis=1)
        n_from = np.vstack([self._n_waiting - n_missing, n_above, np.zeros_like(n_missing)])
        self._counts[self._minute % MINUTES] += np.vstack([n_from[:-1] - n_from[1:], n_missing])
        self._n_waiting = 0
