"""What a Spark task does with one bucket: a stage's features, in a file for the next stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from batch_proc.bucket_rows import Layout, Span, within
from batch_proc.key_stages import KeyStage
from batch_proc.parts import RepeatsError
from batch_proc.pieces import Placing, read_piece, write_pieces
from batch_proc.read_task import repeated
from batch_proc.run_ledger import Step


class Last(Protocol):
    """What becomes of rows that have all features."""

    @property
    def placing(self) -> Placing:
        """What those need who take what came of them."""

    def keeps(self, layout: Layout) -> frozenset[str]:
        """Columns between stages that no stage needs, and this does."""

    def take(
        self, layout: Layout, rows: pa.Table, step: Step, bucket: int
    ) -> tuple[pa.Table, dict[str, Any]]:
        """What comes of a bucket's rows, and what is recorded of it."""


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
    wanted: Span
    """The times of the rows that come out of the last stage."""
    last: Last

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
            rows = self.layout.needed(rows, later, also=self.last.keeps(self.layout))
        else:
            rows = within(rows, self._time, self.wanted)
            rows, record = self.last.take(self.layout, rows, self.step, bucket)
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
