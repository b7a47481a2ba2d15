"""What was scored in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraud_detect.transactions import Columns


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
