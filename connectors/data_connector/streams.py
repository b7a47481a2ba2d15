"""Record batch readers that own what they read from."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyarrow import ipc


class OwningReader(ipc.RecordBatchStreamReader):  # type: ignore[misc]  # pyarrow has no types
    """A `pyarrow.RecordBatchReader` that lets go of its source as soon as it can.

    `RecordBatchReader.from_batches` would keep a connection until the reader is collected: its
    `close` does not reach the iterator. Here the batches pass through an IPC stream in memory, one
    at a time. That costs a copy (about 1 GB/s), keeps the errors' own types, which Arrow's C
    stream would lose, and works with all that takes a reader, in Python and in C++.

    Args:
        schema: of every batch.
        batches: yields the record batches.
        release: called once: when the batches end, fail, or are no longer wanted.
    """

    def __init__(
        self,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._pipe = _Pipe(schema, batches, release)
        super().__init__(self._pipe)

    def through(self, wrap: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]) -> None:
        """Read on through `wrap`, whose `close` is called in place of the batches' own."""
        self._pipe.batches = wrap(self._pipe.batches)

    def close(self) -> None:
        """Release the source. Reading on raises `ValueError`."""
        self._pipe.close()
        super().close()


class _Pipe(io.RawIOBase):
    """The read end of an IPC stream that is written as it is read."""

    def __init__(
        self, schema: pa.Schema, batches: Iterator[pa.RecordBatch], release: Callable[[], None]
    ) -> None:
        self._release: Callable[[], None] | None = release
        self.batches = batches
        self._buffer = io.BytesIO(schema.serialize())
        self._written = io.BytesIO()
        self._writer = ipc.new_stream(self._written, schema)
        # The writer will put the schema before the first batch, when it has been read already.
        self._skip = len(self._buffer.getbuffer())

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of a closed reader")
        # Arrow reads a message's prefix, header and body one after the other, so that a read
        # never crosses from one batch's bytes into the next's.
        return self._buffer.read(size) or (self._next_message(size) if size else b"")

    def _next_message(self, size: int) -> bytes:
        try:
            batch = next(self.batches, None)
        except BaseException:
            self._let_go()
            raise
        if batch is None:
            self._let_go()
            return b""
        self._written.seek(0)
        self._written.truncate()
        self._writer.write_batch(batch)
        self._written.seek(self._skip)
        self._buffer, self._skip = self._written, 0
        return self._buffer.read(size)

    def _let_go(self) -> None:
        release, self._release = self._release, None
        if release is None:
            return
        self.batches, batches = iter(()), self.batches
        close: Any = getattr(batches, "close", None)
        try:
            if close is not None:
                close()
        finally:
            release()

    def close(self) -> None:
        # Also called when the last reference goes: io.IOBase sees to that.
        if not self.closed:
            super().close()
            self._let_go()


def can_be_read_again(data: Any) -> bool:
    """Whether `as_reader` yields all rows each time; streams are known to yield them only once."""
    return isinstance(data, pa.Table | pa.RecordBatch)


def as_reader(data: Any, *, batch_rows: int) -> pa.RecordBatchReader:
    """A reader over a table, a batch, a reader, or whatever offers `__arrow_c_stream__`.

    Raises:
        TypeError: `data` is none of these.
    """
    if isinstance(data, pa.RecordBatchReader):
        return data
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return data.to_reader(max_chunksize=batch_rows)
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    raise TypeError(f"expected a pyarrow table or reader, got {type(data).__name__}")
