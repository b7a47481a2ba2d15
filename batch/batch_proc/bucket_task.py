"""What a Spark task does with one bucket: features, in the last stage scores, in a file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Broadcast, TaskContext

from batch_proc.bucket_rows import IS_FRAUD, Layout
from batch_proc.key_stages import KeyStage
from batch_proc.run_ledger import Step
from batch_proc.scoring import DECISIONS, PackedModel, loaded_scorer
from batch_proc.whole_files import write_parquet
from data_connector.errors import ConnectorError
from fraud_ml.errors import DataError

RESULT = "part int, error string, transaction_id string"
"""What a task tells Spark; its rows are in its file."""
_RESULT = pa.schema([("part", pa.int32()), ("error", pa.string()), ("transaction_id", pa.string())])

SCORE, DECISION = "score", "decision"

# How fraud_ml names a row: of the bucket here, which is no row that a user could look up.
_ROW = re.compile(r"row (\d+) \(the first is 0\)(, transaction_id [^,;)]+)?")
_HOW_MANY = re.compile(r"(?<=, )(\d+) such")
_FAILED = "failed"

Span = tuple[int | None, int | None]
"""Of times in microseconds, from the first until before the second; None: without end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """The model, as tasks find it."""

    packed: Broadcast[PackedModel]
    checksum: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketTask:
    """One stage's work on a bucket."""

    layout: Layout
    stages: tuple[KeyStage, ...]
    number: int
    """Of the stage."""
    step: Step
    """Where its files go."""
    buckets: tuple[int, ...]
    """The number of the bucket in each of Spark's partitions."""
    own: Mapping[int, Span]
    """Of a bucket that is a slice of a hot key, the times of the rows that it is to give on."""
    scored: Span
    """The times of the rows that are scored."""
    model: Model

    def run(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Does it, and says how it went: columns as in :data:`RESULT`."""
        context = TaskContext.get()
        assert context is not None  # noqa: S101 - only Spark calls this
        bucket = self.buckets[context.partitionId()]
        yield from told(self.step, bucket, lambda: self._work(bucket, list(batches)))

    def _work(self, bucket: int, batches: list[pa.RecordBatch]) -> None:
        rows = pa.Table.from_batches(batches) if batches else None
        batches.clear()
        if rows is None or not rows.num_rows:
            self.step.finish(bucket, {"rows": 0})
            return
        rows = self._prepared(rows)
        if not rows.num_rows:  # all of them are later than any that is wanted
            self.step.finish(bucket, {"rows": 0})
            return
        rows = self.layout.with_features(rows, self.stages[self.number])
        rows = _within(rows, self._time, self.own.get(bucket, (None, None)))
        later = self.stages[self.number + 1 :]
        record: dict[str, Any] = {}
        if later:
            rows = self.layout.needed(rows, later)
        else:
            rows, record = self._scored(_within(rows, self._time, self.scored))
        if rows.num_rows:
            write_parquet(self.step.data(bucket), rows)
        self.step.finish(bucket, {"rows": rows.num_rows, **record})

    @property
    def _time(self) -> str:
        return self.layout.column["timestamp"]

    def _prepared(self, rows: pa.Table) -> pa.Table:
        """Checked in the first stage, as any later than the last wanted are not; sorted."""
        if self.number == 0:
            return _within(self.layout.checked(rows), self._time, (None, self.scored[1]))
        order = [(self._time, "ascending"), (self.layout.column["transaction_id"], "ascending")]
        return rows.sort_by(order)

    def _scored(self, rows: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
        """What goes into the output, and what the summary needs to know of it."""
        scorer = loaded_scorer(lambda: self.model.packed.value, self.model.checksum)
        amounts = rows.column(self.layout.column["amount"]).to_numpy()
        scores = scorer.score(self.layout.matrix(rows))
        decisions = scorer.decide(scores, amounts)
        is_fraud = np.zeros(rows.num_rows, dtype=bool)
        if IS_FRAUD in rows.column_names:
            known = rows.column(IS_FRAUD).fill_null(fill_value=False)
            is_fraud = known.to_numpy(zero_copy_only=False)
        days = pc.value_counts(rows.column(self._time).cast(pa.date32())).to_pylist()
        names = ("transaction_id", "timestamp", "customer_id", "amount")
        slim = rows.select([self.layout.column[name] for name in names])
        slim = slim.append_column(SCORE, pa.array(scores))
        slim = slim.append_column(DECISION, pa.array(decisions))
        return slim, {
            "days": {str(it["values"]): it["counts"] for it in days},
            "decisions": _by_decision(decisions, amounts, is_fraud),
        }


def told(step: Step, part: int, work: Any) -> Iterator[pa.RecordBatch]:
    """Works on a part, and gives the row that says how that went.

    After an error of the data no other task of the step begins; Spark would try each again.
    """
    failed = step.folder / _FAILED
    if failed.exists():
        return
    error = identity = None
    try:
        work()
    except DataError as wrong:
        error, identity = _without_row(str(wrong))
    except ConnectorError as wrong:
        error = str(wrong)
    if error is not None:
        failed.touch()
    yield pa.record_batch([[part], [error], [identity]], schema=_RESULT)


def forget_failure(folder: Path) -> None:
    """Lets the tasks of a step begin, whatever happened in an earlier run."""
    (folder / _FAILED).unlink(missing_ok=True)


def _without_row(message: str) -> tuple[str, str | None]:
    """A message without the number of a row in a bucket, and the transaction's id."""
    found = re.search(r"transaction_id '?([^,;)']+)'?", message)
    identity = found[1] if found and found[1] != "None" else None
    message = _ROW.sub(lambda it: it[2][2:] if identity and it[2] else "a row", message)
    return _HOW_MANY.sub(r"at least \1 such", message), identity


def _within(rows: pa.Table, column: str, span: Span) -> pa.Table:
    """Those of ``rows``, sorted by time, that lie in ``span``."""
    if span == (None, None):
        return rows
    times = rows.column(column).cast(pa.int64()).to_numpy()
    start, stop = (
        default if end is None else int(np.searchsorted(times, end))
        for end, default in zip(span, (0, len(times)), strict=True)
    )
    return rows.slice(start, max(stop - start, 0))


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
