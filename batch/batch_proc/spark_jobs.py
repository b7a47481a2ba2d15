"""Runs tasks that read and write their own files, and says what went wrong in them."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import Broadcast
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from batch_proc.errors import SparkError
from batch_proc.parts import RepeatsError, Told, forget_failure, told
from batch_proc.progress import Stage
from batch_proc.run_ledger import Step
from batch_proc.spark_session import is_remote
from fraud_ml.errors import DataError

_POLL = 0.2  # seconds between two looks at how far the tasks are

T = TypeVar("T")
R = TypeVar("R")


class FailedTaskError(Exception):
    """What is wrong with the data, as a task found it; the transaction, if it is about one."""

    def __init__(self, message: str, transaction_id: str | None) -> None:
        self.transaction_id = transaction_id
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Shared(Generic[T]):
    """A value that tasks have; each process gets it once."""

    held: Broadcast[T] | T

    def __call__(self) -> T:
        """The value."""
        return self.held.value if isinstance(self.held, Broadcast) else self.held


@contextmanager
def shared(session: SparkSession, value: T) -> Iterator[Shared[T]]:
    """A value for tasks, inside of the block."""
    if is_remote(session):  # has no broadcast: the value goes with the tasks of each job
        yield Shared(value)
        return
    with spark_errors():
        held = session.sparkContext.broadcast(value)
    try:
        yield Shared(held)
    finally:
        held.destroy()


def run_parts(
    session: SparkSession,
    parts: Sequence[int],
    work: Callable[[int], None],
    step: Step,
    stage: Stage,
) -> None:
    """Has a task do each part of a step, which writes the part's file and record.

    Args:
        session: where they run.
        parts: that are to be done.
        work: what a task does.
        step: of the run.
        stage: shows how far it is.

    Raises:
        RepeatsError: ids of transactions occur more than once.
        FailedTaskError: a task found something else wrong with the data.
        SparkError: Spark failed.
    """
    if not parts:
        return
    forget_failure(step.folder)
    with _watched(step, stage, step.n_done() + len(parts)):
        found = _of_each(session, partial(told, step, work=work), parts)
    wrong = min((it for it in found if it.error is not None), default=Told(0))
    if any(it.repeats for it in found):
        raise RepeatsError
    if wrong.error is not None:
        raise FailedTaskError(wrong.error, wrong.transaction_id)


def gather(session: SparkSession, ask: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What a function finds of each item, each in a task.

    Raises:
        DataError: it found something wrong with the data.
        SparkError: Spark failed.
    """
    found = _of_each(session, partial(_asked, ask), items)
    for _, error in found:
        if error is not None:
            raise DataError(error)
    return [answer for answers, _ in found for answer in answers]


@contextmanager
def spark_errors() -> Iterator[None]:
    """Errors of Spark inside of the block as ours."""
    try:
        yield
    except ConnectionError as error:
        raise SparkError(
            "Spark's JVM has ended; spark.log in the work folder may say why; go on with --resume"
        ) from error
    except (PySparkException, Py4JError) as error:
        raise SparkError(f"Spark failed: {_short(str(error))}") from error


def _of_each(session: SparkSession, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    def one(part: Iterable[T]) -> Iterator[R]:
        return map(work, part)

    with spark_errors():
        if is_remote(session):
            return _of_each_row(session, work, items)
        there = session.sparkContext.parallelize(list(items), len(items))
        return there.mapPartitions(one).collect()


def _of_each_row(session: SparkSession, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The same for Spark Connect, which knows no tasks but those of data frames."""

    def one(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                found = pa.array([pickle.dumps(work(items[number]))], pa.binary())
                yield pa.record_batch([pa.array([number], pa.int64()), found], ["number", "found"])

    rows = session.range(0, len(items), 1, len(items)).mapInArrow(one, "number long, found binary")
    in_order: list[Any] = sorted(rows.collect())
    return [pickle.loads(row.found) for row in in_order]  # noqa: S301 - written by our own tasks


def _asked(ask: Callable[[T], R], item: T) -> tuple[list[R], str | None]:
    try:
        return [ask(item)], None
    except DataError as error:
        return [], str(error)


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
