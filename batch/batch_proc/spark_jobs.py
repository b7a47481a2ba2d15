"""Runs tasks that write their own files, one a partition, and says what went wrong in them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch_proc.bucket_task import RESULT, forget_failure
from batch_proc.errors import SparkError
from batch_proc.progress import Stage
from batch_proc.run_ledger import Step
from fraud_ml.errors import DataError

_POLL = 0.2  # seconds between two looks at how far the tasks are
_UNREADABLE = re.compile(r"file:/*(/\S+?\.(?:parquet|csv|csv\.gz))\b")
# Spark's names for what is wrong with a file.
_OF_FILES = ("FAILED_READ_FILE", "MALFORMED_RECORD", "CANNOT_READ_FILE", "CSV header")

Work = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class FailedTaskError(Exception):
    """What is wrong with the data, as a task found it; the transaction, if it is about one."""

    def __init__(self, message: str, transaction_id: str | None) -> None:
        self.transaction_id = transaction_id
        super().__init__(message)


def run_parts(
    rows: DataFrame,
    parts: Sequence[int],
    work: Work,
    step: Step,
    stage: Stage,
    *,
    order: Sequence[str] = (),
) -> None:
    """Brings each part's rows to a task, which writes the part's file and record.

    Args:
        rows: with the number of each row's part in the column ``bucket``; rows of other parts
            are left out.
        parts: that are to be done.
        work: what a task does; it finds its part by the partition's number in ``parts``.
        step: of the run.
        stage: shows how far it is.
        order: columns by which a task gets its rows.

    Raises:
        FailedTaskError: a task found something wrong with the data.
        DataError: Spark could not read a file.
        SparkError: Spark failed otherwise.
    """
    if not parts:
        return
    forget_failure(step.folder)
    numbers = np.full(max(parts) + 1, -1, dtype=np.int32)
    numbers[list(parts)] = np.arange(len(parts))
    there = rows.where(sf.col("bucket") < len(numbers))
    there = there.withColumn("bucket", sf.element_at(sf.lit(numbers), sf.col("bucket") + 1))
    wanted = there.where(sf.col("bucket") >= 0)
    together = wanted.repartitionById(len(parts), sf.col("bucket")).drop("bucket")
    if order:
        together = together.sortWithinPartitions(*order)
    with _watched(step, stage, step.n_done() + len(parts)), spark_errors():
        told = together.mapInArrow(work, RESULT).where(sf.col("error").isNotNull()).collect()
    if told:
        first = min(told, key=lambda row: row["part"])
        raise FailedTaskError(first["error"], first["transaction_id"])


@contextmanager
def spark_errors() -> Iterator[None]:
    """Errors of Spark inside of the block as ours, where we know what they mean."""
    try:
        yield
    except ConnectionError as error:
        raise SparkError(
            "Spark's JVM has ended; spark.log in the work folder may say why; go on with --resume"
        ) from error
    except (PySparkException, Py4JError) as error:
        message = str(error)
        if any(sign in message for sign in _OF_FILES):
            raise DataError(_of_file(message)) from error
        raise SparkError(f"Spark failed: {_short(message)}") from error


def _of_file(message: str) -> str:
    found = _UNREADABLE.search(message)
    file = found[1] if found else "a file of the input"
    causes = [line for line in message.splitlines() if line.startswith("Caused by:")]
    why = causes[-1].removeprefix("Caused by:").strip() if causes else _short(message)
    return f"{file} cannot be read: {why}; it may be damaged or cut short: restore it from a copy"


def _short(message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()]
    return lines[0][:500] if lines else "it did not say why"


@contextmanager
def _watched(step: Step, stage: Stage, total: int) -> Iterator[None]:
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_POLL):
            stage.advance(step.n_done(), total)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def collected(rows: DataFrame) -> list[Any]:
    """The few rows of a summary; Spark's errors as ours."""
    with spark_errors():
        return rows.collect()
