"""What a transfer tells while it runs: a line in the log, and a caller's progress.

The logger is `data_connector`: a line at INFO for each fetch and load, with the numbers also as
attributes of the record (`rows`, `bytes`, `seconds`, `place`), and one at DEBUG for each batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from data_connector.locations import Location

if TYPE_CHECKING:
    import pyarrow as pa

LOGGER = logging.getLogger("data_connector")

# Told the rows and the bytes (as Arrow holds them) so far, after each batch.
Progress = Callable[[int, int], object]


class Watched:
    """Batches on their way, counted: iterates over them once.

    Args:
        verb: `fetched` or `loaded`, for the log.
        place: the source or the target, whose text holds no secret.
        schema: of the batches.
        batches: the batches; closed by `close`, if they can be.
        progress: told after each batch.
    """

    def __init__(
        self,
        verb: str,
        place: Location,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        progress: Progress | None = None,
    ) -> None:
        self.schema = schema
        self.rows = 0
        self.bytes = 0
        self.asked = False
        self._verb = verb
        self._place = place
        self._batches = batches
        self._progress = progress
        self._ahead: list[pa.RecordBatch] = []
        self._started = time.perf_counter()
        self._waited = 0.0  # seconds
        self._ended = False

    def read_ahead(self) -> None:
        """Read the first batch now, so that its error comes now; it is given out in its turn."""
        self._ahead = [batch for batch in [self._read()] if batch is not None]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        batch = self._ahead.pop() if self._ahead else self._read()
        if batch is None:
            raise StopIteration
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        LOGGER.debug("%d rows of those to be %s: %s", self.rows, self._verb, self._place)
        if self._progress is not None:
            self._progress(self.rows, self.bytes)
        return batch

    def close(self) -> None:
        """Close the batches, and say how it went; `end` has said so already after an error."""
        close = getattr(self._batches, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self.end()

    def end(self, error: BaseException | None = None) -> None:
        """Write the log's line, once: for a transfer that is over, by `error` or as it should."""
        if self._ended:
            return
        self._ended = True
        seconds = time.perf_counter() - self._started
        # Only the error's name: its text may be the user's data.
        outcome = self._verb if error is None else f"not {self._verb}, {type(error).__name__} after"
        LOGGER.info(
            "%s %d rows (%d bytes) in %.3f s, %.3f s of it reading: %s",
            *(outcome, self.rows, self.bytes, seconds, self._waited, self._place),
            extra={
                "rows": self.rows,
                "bytes": self.bytes,
                "seconds": seconds,
                "place": str(self._place),
            },
        )

    def _read(self) -> pa.RecordBatch | None:
        self.asked = True
        started = time.perf_counter()
        try:
            return next(self._batches, None)
        except BaseException as error:
            self.end(error)
            raise
        finally:
            self._waited += time.perf_counter() - started
