"""What a Spark task does with one bucket: features, in the last stage scores, in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import Broadcast

from batch_proc.bucket_rows import IS_FRAUD, Layout, Span, within
from batch_proc.key_hash import hashes
from batch_proc.key_stages import KeyStage
from batch_proc.parts import RepeatsError
from batch_proc.pieces import OnePiece, Placing, read_piece, write_pieces
from batch_proc.read_task import repeated
from batch_proc.run_ledger import Step
from batch_proc.scoring import DECISIONS, PackedModel, loaded_scorer

SCORE, DECISION = "score", "decision"
SAMPLE = "sample"
"""The files with some scored rows and their features, beside those with the scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """The model, as tasks find it."""

    packed: Broadcast[PackedModel]
    checksum: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """Where a stage's rows come from."""

    rows: tuple[Path, ...]
    """Files of the step before."""
    placing: Placing
    """How they are divided among this stage's tasks."""
    ids: tuple[Path, ...] = ()
    """Files with the hashes of all ids, for the first stage to check."""
    ids_placing: Placing | None = None
    labels: tuple[Path, ...] | None = None
    """Files with the labels of a table of its own, for the first stage to join."""
    labels_placing: Placing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketTask:
    """One stage's work on a bucket."""

    layout: Layout
    stages: tuple[KeyStage, ...]
    number: int
    """Of the stage."""
    before: Before
    step: Step
    """Where its files go."""
    placing: Placing
    """What the next step's tasks need."""
    own: Mapping[int, Span]
    """Of a bucket that is a slice of a hot key, the times of the rows that it is to give on."""
    scored: Span
    """The times of the rows that are scored."""
    sampled: float
    """The share of the scored rows to keep with their features."""
    model: Model

    def work(self, bucket: int) -> None:
        """Does it: writes the rows, and a record.

        Raises:
            DataError: ids are repeated, or labels are none.
        """
        self._check_ids(bucket)
        rows = read_piece(self.before.rows, bucket, self.before.placing)
        if rows is None:
            self.step.finish(bucket, {"rows": 0, "bytes": 0})
            return
        rows = self.layout.in_order(rows)
        if self.before.labels is not None and self.before.labels_placing is not None:
            labels = read_piece(self.before.labels, bucket, self.before.labels_placing)
            rows = self.layout.with_label_table(rows, labels)
        rows = self.layout.with_features(rows, self.stages[self.number])
        rows = within(rows, self._time, self.own.get(bucket, (None, None)))
        later = self.stages[self.number + 1 :]
        record: dict[str, Any] = {}
        if later:
            rows = self.layout.needed(rows, later)
        else:
            rows, record = self._scored(bucket, within(rows, self._time, self.scored))
        written = write_pieces(self.step.data(bucket), [rows], self.placing)
        self.step.finish(bucket, {**written, **record})

    def _check_ids(self, bucket: int) -> None:
        placing = self.before.ids_placing
        if placing is None or bucket >= placing.n_pieces:
            return
        if len(repeated(read_piece(self.before.ids, bucket, placing))):
            raise RepeatsError

    @property
    def _time(self) -> str:
        return self.layout.column["timestamp"]

    def _scored(self, bucket: int, rows: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
        """What goes into the output, and what the summary needs to know of it."""
        scorer = loaded_scorer(lambda: self.model.packed.value, self.model.checksum)
        amounts = rows.column(self.layout.column["amount"]).to_numpy()
        scores = scorer.score(self.layout.matrix(rows))
        decisions = scorer.decide(scores, amounts)
        is_fraud = np.zeros(rows.num_rows, dtype=bool)
        if IS_FRAUD in rows.column_names:
            known = rows.column(IS_FRAUD).fill_null(fill_value=False)
            is_fraud = known.to_numpy(zero_copy_only=False)
        names = ("transaction_id", "timestamp", "customer_id", "amount")
        slim = rows.select([self.layout.column[name] for name in names])
        slim = slim.append_column(SCORE, pa.array(scores))
        slim = slim.append_column(DECISION, pa.array(decisions))
        number = hashes(rows.column(self.layout.column["transaction_id"]))
        some = np.flatnonzero(number <= self.sampled * np.iinfo(np.uint64).max)
        sample = slim.append_column(IS_FRAUD, pa.array(is_fraud)).take(some)
        for name in self.layout.feature.values():
            sample = sample.append_column(name, rows.column(name).take(some))
        write_pieces(self.step.data(bucket, SAMPLE), [sample], OnePiece())
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
