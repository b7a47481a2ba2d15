"""What the last stage of a scoring run does with rows that have all features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch_proc.bucket_rows import IS_FRAUD, Layout
from batch_proc.key_hash import hashes
from batch_proc.pieces import OnePiece, Placing, write_pieces
from batch_proc.run_ledger import Step
from batch_proc.scoring import DECISIONS, PackedModel, loaded_scorer

SCORE, DECISION = "score", "decision"
SAMPLE = "sample"
"""The files with some scored rows and their features, beside those with the scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRows:
    """Scores them, and keeps what goes into the output."""

    placing: Placing
    sampled: float
    """The share of the rows to keep with their features."""
    packed: Callable[[], PackedModel]
    """The model, as tasks find it."""
    checksum: str

    def keeps(self, layout: Layout) -> frozenset[str]:  # noqa: ARG002 - as `Last` has it
        """No columns but those of every transaction."""
        return frozenset()

    def take(
        self, layout: Layout, rows: pa.Table, step: Step, bucket: int
    ) -> tuple[pa.Table, dict[str, Any]]:
        """What goes into the output, and what the summary needs to know of it."""
        scorer = loaded_scorer(self.packed, self.checksum)
        amounts = rows.column(layout.column["amount"]).to_numpy()
        scores = scorer.score(layout.matrix(rows))
        decisions = scorer.decide(scores, amounts)
        is_fraud = np.zeros(rows.num_rows, dtype=bool)
        if IS_FRAUD in rows.column_names:
            known = rows.column(IS_FRAUD).fill_null(fill_value=False)
            is_fraud = known.to_numpy(zero_copy_only=False)
        names = ("transaction_id", "timestamp", "customer_id", "amount")
        slim = rows.select([layout.column[name] for name in names])
        slim = slim.append_column(SCORE, pa.array(scores))
        slim = slim.append_column(DECISION, pa.array(decisions))
        number = hashes(rows.column(layout.column["transaction_id"]))
        some = np.flatnonzero(number <= self.sampled * np.iinfo(np.uint64).max)
        sample = slim.append_column(IS_FRAUD, pa.array(is_fraud)).take(some)
        for name in layout.feature.values():
            sample = sample.append_column(name, rows.column(name).take(some))
        write_pieces(step.data(bucket, SAMPLE), [sample], OnePiece())
        return slim, {"decisions": _by_decision(decisions, amounts, is_fraud)}


def _by_decision(
    decisions: npt.NDArray[np.int8],
    amounts: npt.NDArray[np.float64],
    is_fraud: npt.NDArray[np.bool_],
) -> dict[str, dict[str, float]]:
    """Of each decision how many there are and of what amount, in all and of known frauds."""
    found = {}
    for decision in np.unique(decisions).tolist():
        rows = decisions == decision
        frauds = rows & is_fraud
        found[DECISIONS.get(decision, "none")] = {
            "rows": int(rows.sum()),
            "amount": math.fsum(amounts[rows]),
            "frauds": int(frauds.sum()),
            "fraud_amount": math.fsum(amounts[frauds]),
        }
    return found
