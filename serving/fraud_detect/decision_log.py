"""Every decision in a table, written by a process of its own: no payment waits for it.

A decision goes to that process, through a pipe, before it is answered. From then on it does not
matter how the process that scores ends: what is in the pipe is still read, and written.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fraud_detect.decision_table import Decided, encode
from fraud_detect.processes import python_path
from fraud_detect.write_decisions import COUNT_BYTES, URL

if TYPE_CHECKING:
    from fraud_detect.scored_batch import ScoredBatch

QUEUE_ROWS = 200_000
"""Decisions that may wait to be written: 40 s of 5,000 a second. Above it, new ones are dropped:
a payment must not wait for its log, nor may the log take all memory."""
RESTART_AFTER = 1.0
"""Seconds before another process is started in place of one that ended."""
LOCK = "FRAUD_DECISION_LOCK"
"""The environment variable that names a folder which :func:`wait_for_writers` waits for."""

_PIPE_BYTES = 1 << 20  # the most that Linux gives to all; some 7,000 decisions
_POLL = 0.02  # seconds
_READ_BYTES = 512 * COUNT_BYTES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Process:
    """The one that writes, and our ends of its pipes."""

    running: subprocess.Popen[bytes]
    source: int
    """Of decisions."""
    written: int
    """From where it tells how many rows it has written."""


class DecisionLog:
    """A watcher of a :class:`~fraud_detect.scorer.Scorer`, that logs what it decides."""

    def __init__(self, url: str, *, model: str, version: int, queue_rows: int = QUEUE_ROWS) -> None:
        """Starts the process that writes.

        Args:
            url: of a database, whose table ``decisions`` is made if there is none.
            model: its name, for the log.
            version: of the model.
            queue_rows: decisions that may wait.
        """
        self._url = url
        self._model = model
        self._version = version
        self._queue_rows = queue_rows
        self._turn = threading.Lock()
        self.n_taken = 0
        """Decisions so far."""
        self.n_written = 0
        """Of them, those in the table, as of the last :meth:`poll`."""
        self.n_dropped = 0
        """Of them, those that will never be: too many waited, or the process was killed."""
        self._ended_at = 0.0
        self._unsent = bytearray()
        self._process: _Process | None = _start(url)

    @property
    def n_waiting(self) -> int:
        """Of the decisions, those that will be in the table."""
        return self.n_taken - self.n_written - self.n_dropped

    def counts(self) -> dict[str, int]:
        """How many decisions so far were ``taken``, and of them ``written`` and ``dropped``."""
        return {"taken": self.n_taken, "written": self.n_written, "dropped": self.n_dropped}

    @property
    def pid(self) -> int | None:
        """Of the process that writes; None while there is none."""
        return None if self._process is None else self._process.running.pid

    def __call__(self, batch: ScoredBatch) -> None:
        """Takes the decisions of a batch, and does not wait."""
        n_rows = len(batch.scores)
        with self._turn:
            if self._process is None or self.n_waiting + n_rows > self._queue_rows:
                self._hear()
            self.n_taken += n_rows
            if self._process is None or self.n_waiting > self._queue_rows:
                self.n_dropped += n_rows
                return
            frame = encode(self._decided(batch))
            self._unsent += len(frame).to_bytes(COUNT_BYTES, "little") + frame
            self._send()

    def poll(self) -> None:
        """Hands over what the process could not take at once, and hears what it has written.

        To be called now and then, for times in which there are no payments.
        """
        with self._turn:
            self._hear()
            self._send()

    def close(self, timeout: float = 30.0) -> None:
        """Waits until all is written, or given up.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: the process is still at it.
        """
        with self._turn:
            process = self._process
            if process is None:
                return
            os.set_blocking(process.source, True)
            self._send()
            if self._process is not process:
                return  # it was killed, and what it had not written is counted
            self._process = None
            os.close(process.source)
            try:
                process.running.wait(timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{self.n_waiting} decisions are not written yet") from None
            self._count(process.written)
            os.close(process.written)
            self.n_dropped += self.n_waiting

    def _decided(self, batch: ScoredBatch) -> Decided:
        return Decided(
            transaction_id=batch.columns["transaction_id"],
            timestamp=batch.columns["timestamp"],
            scored_at=time.time_ns() // 1_000,
            scores=batch.scores.astype("<f4", copy=False).tobytes(),
            decisions=batch.decisions,
            features=batch.features.astype("<f4", copy=False).tobytes(),
            degraded=batch.degraded,
            model=self._model,
            version=self._version,
        )

    def _hear(self) -> None:
        """Counts what the process has written; starts another where it has ended."""
        if self._process is None:
            if time.monotonic() > self._ended_at + RESTART_AFTER:
                self._process = _start(self._url)
        elif self._count(self._process.written):
            self._give_up(self._process)

    def _count(self, written: int) -> bool:
        """Whether the process has ended; until then it counts."""
        while True:
            try:
                said = os.read(written, _READ_BYTES)
            except BlockingIOError:
                return False
            if not said:
                return True
            self.n_written += sum(
                int.from_bytes(said[start : start + COUNT_BYTES], "little")
                for start in range(0, len(said), COUNT_BYTES)
            )

    def _send(self) -> None:
        if self._process is None:
            return
        try:
            while self._unsent:
                sent = os.write(self._process.source, self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            return  # the rest comes with the next decisions
        except BrokenPipeError:
            self._count(self._process.written)
            self._give_up(self._process)

    def _give_up(self, process: _Process) -> None:
        """Counts as dropped what the process had not written when it ended."""
        log.error("the decision log's process has ended, with %d not written", self.n_waiting)
        self.n_dropped += self.n_waiting
        self._unsent.clear()
        self._process = None
        self._ended_at = time.monotonic()
        os.close(process.source)
        os.close(process.written)
        process.running.wait()


def _start(url: str) -> _Process:
    theirs, source = os.pipe()
    written, answers = os.pipe()
    try:
        with _locked() as lock:
            running = subprocess.Popen(
                [sys.executable, "-m", "fraud_detect.write_decisions"],
                env={**os.environ, "PYTHONPATH": python_path(), URL: url},
                stdin=theirs,
                stdout=answers,
                pass_fds=lock,
                start_new_session=True,  # whoever kills our group, as at the end, spares it
            )
    finally:
        os.close(theirs)
        os.close(answers)
    for ours in (source, written):
        os.set_blocking(ours, False)
    fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return _Process(running, source, written)


@contextmanager
def _locked() -> Iterator[tuple[int, ...]]:
    """A lock for a process to inherit, which holds it until its end; none where none is asked."""
    folder = os.environ.get(LOCK)
    if folder is None:
        yield ()
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield (lock,)
    finally:
        os.close(lock)


def wait_for_writers(folder: Path, timeout: float) -> bool:
    """Whether all processes that write decisions are done.

    Args:
        folder: that the environment of those who score names as :data:`LOCK`.
        timeout: seconds.
    """
    lock = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + timeout
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
    finally:
        os.close(lock)
