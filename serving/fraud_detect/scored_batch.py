"""What was scored in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fraud_detect.transactions import Columns, Request


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """B transactions: all callers', for those who watch, or one caller's."""

    columns: Columns
    features: npt.NDArray[np.float32]
    """Shape ``(B, F)``."""
    scores: npt.NDArray[np.float32]
    """Shape ``(B,)``."""
    decisions: Sequence[str | None]
    degraded: bool


Watcher = Callable[[ScoredBatch], None]


def rows_of(request: Request, scored: ScoredBatch) -> dict[str, Sequence[Any]]:
    """An answer's columns, in the request's order; None of what there is not.

    Args:
        request: what was asked.
        scored: its valid transactions.
    """
    n_rows = len(scored.scores)
    columns: dict[str, Sequence[Any]] = {
        "transaction_id": request.columns["transaction_id"],
        "score": scored.scores.tolist(),
        "decision": scored.decisions,
        "degraded": [scored.degraded] * n_rows,
        "error": [None] * n_rows,
    }
    if n_rows == len(request.errors):
        return columns
    valid = zip(*columns.values(), strict=True)
    rows = [
        next(valid) if wrong is None else (wrong.transaction_id, None, None, None, wrong.error)
        for wrong in request.errors
    ]
    return dict(zip(columns, zip(*rows, strict=True), strict=True))
