"""The process that writes a worker's decisions: it reads them from its standard input.

It ends when that ends, which is when the worker does, however that may be: TorchServe kills its
workers, even when it is stopped in good order. What the worker handed over is then still here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import pyarrow as pa

from data_connector import ConnectorError, load
from data_connector.locations import DatabaseLocation, parse
from fraud_detect.decision_table import SCHEMA, TABLE, Decided, decode, table_of
from fraud_detect.errors import ServingError
from fraud_detect.store_url import hasty

EVERY = 0.2
"""Seconds that a decision waits for others, at most."""
ROWS = 20_000
"""That are enough not to wait longer: 100,000 a second."""
RETRY_AFTER = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between tries to write; the last one from then on."""
LAST_TRIES = 10.0
"""Seconds that it goes on trying after the worker's end."""
COUNT_BYTES = 8

_PAUSE = 0.01
"""Seconds between reads: who sends to a process that waits for it has to wake it, each time, which
takes a payment longer than all else about its log. The pipe has room for 0.07 s of 100,000 a
second."""
_PIECE = 1 << 20  # bytes, the most that a pipe has

KINDS = ("sqlite", "postgresql")
"""Of databases that decisions are written to."""

URL = "FRAUD_DECISION_LOG"
"""The environment variable that says where to."""

log = logging.getLogger("fraud_detect.decision_log")


def check_decision_log(url: str) -> None:
    """Makes sure that decisions can be written, and makes their table where there is none.

    Raises:
        ServingError: they cannot; the message says why.
    """
    try:
        place = parse(url)
        if not isinstance(place, DatabaseLocation) or place.scheme not in KINDS:
            raise ServingError(
                f"--decision-log {place}: decisions go to sqlite:///FILE or"
                " postgresql://USER@HOST/DATABASE; '' for none"
            )
        load(SCHEMA.empty_table(), hasty(url), table=TABLE, if_exists="append")
    except ConnectorError as error:
        raise ServingError(f"--decision-log: {error}") from None


def frames(source: int) -> Iterator[list[bytes]]:
    """What was sent, each with its length before it; the last is left out if it broke off.

    Args:
        source: a file's number; a list is what was there at one time.
    """
    rest = bytearray()
    while piece := os.read(source, _PIECE):
        rest += piece
        found, start = [], 0
        while len(rest) >= (begin := start + COUNT_BYTES):
            stop = begin + int.from_bytes(rest[start:begin], "little")
            if stop > len(rest):
                break
            found.append(bytes(rest[begin:stop]))
            start = stop
        del rest[:start]
        yield found


class Writer:
    """Writes what comes, in the order in which it comes."""

    def __init__(self, url: str, source: int, written: Callable[[int], None]) -> None:
        """Begins to read.

        Args:
            url: of the database.
            source: the number of a file of frames, each an encoded :class:`Decided`.
            written: told how many rows were written, each time.
        """
        self._url = url
        self._written = written
        self._queue: SimpleQueue[list[bytes] | None] = SimpleQueue()  # bounded by the worker
        self._ended_at: float | None = None
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def run(self) -> int:
        """How many rows could not be written, when all is done."""
        lost = 0
        while parts := self._gather():
            table = table_of(parts)
            if self._write(table):
                self._written(table.num_rows)
            else:
                lost += table.num_rows
        return lost

    def _read(self, source: int) -> None:
        for some in frames(source):
            self._queue.put(some)
            time.sleep(_PAUSE)
        self._ended_at = time.monotonic()
        self._queue.put(None)

    def _gather(self) -> list[Decided]:
        """The next decisions, as many as come in time; none at the end."""
        parts: list[Decided] = []
        n_rows, deadline = 0, None
        while n_rows < ROWS:
            try:
                left = None if deadline is None else max(deadline - time.monotonic(), 0)
                some = self._queue.get(timeout=left)
            except Empty:
                break
            if some is None:
                self._queue.put(None)  # for the next call
                break
            deadline = deadline or time.monotonic() + EVERY
            new = [decode(frame) for frame in some]
            parts += new
            n_rows += sum(len(part.transaction_id) for part in new)
        return parts

    def _write(self, table: pa.Table) -> bool:
        """Whether it is written: it is tried until then, or until long after the worker's end.

        After a lost answer to a commit it is tried again, too: a decision may then be there twice,
        with the same ``scored_at``.
        """
        tries = 0
        while True:
            try:
                load(table, self._url, table=TABLE, if_exists="append")
            except ConnectorError as error:
                pause = RETRY_AFTER[min(tries, len(RETRY_AFTER) - 1)]
                log.error("decisions cannot be written, next try in %g s: %s", pause, error)
                if self._ended_at is not None and time.monotonic() > self._ended_at + LAST_TRIES:
                    return False
                time.sleep(pause)
                tries += 1
            else:
                return True


def _say_written(n_rows: int) -> None:
    try:
        os.write(1, n_rows.to_bytes(COUNT_BYTES, "little"))
    except BrokenPipeError:
        return  # the worker is gone, and nobody counts


def main() -> int:
    """The exit code: 0, all was written."""
    for number in (signal.SIGTERM, signal.SIGINT):  # they are for the worker, whose end is ours
        signal.signal(number, signal.SIG_IGN)
    lost = Writer(os.environ[URL], sys.stdin.fileno(), _say_written).run()
    if lost:
        log.error("%d decisions were lost: they could not be written in %g s", lost, LAST_TRIES)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
