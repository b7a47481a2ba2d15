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
    valid = zip(
        request.columns["transaction_id"], scored.scores.tolist(), scored.decisions, strict=True
    )
    rows = [
        (*next(valid), scored.degraded, None)
        if wrong is None
        else (wrong.transaction_id, None, None, None, wrong.error)
        for wrong in request.errors
    ]
    names = ("transaction_id", "score", "decision", "degraded", "error")
    return dict(zip(names, zip(*rows, strict=True), strict=True))
