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
    at a time. That costs a copy, keeps the errors' own types, which Arrow's C
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
        self._schema = schema
        self._message = memoryview(schema.serialize())
        self._schema_size = len(self._message)
        # A batch without dictionaries is one message, and its size is known beforehand.
        has_dictionaries = any(map(_has_dictionary, schema.types))
        self._encode = self._with_dictionaries if has_dictionaries else pa.RecordBatch.serialize

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> memoryview:
        if self.closed:
            raise ValueError("read of a closed reader")
        # Arrow reads a message's prefix, header and body one after the other, so that a read
        # never crosses from one batch's bytes into the next's.
        if size and not self._message:
            self._message = self._next_message()
        part, self._message = self._message[:size], self._message[size:]
        return part

    def _next_message(self) -> memoryview:
        try:
            batch = next(self.batches, None)
        except BaseException:
            self._let_go()
            raise
        if batch is None:
            self._let_go()
            return memoryview(b"")
        return memoryview(self._encode(batch))

    def _with_dictionaries(self, batch: pa.RecordBatch) -> pa.Buffer:
        # A stream of its own, not closed, since it would end there; its schema has been read
        # already.
        written = pa.BufferOutputStream()
        ipc.new_stream(written, self._schema).write_batch(batch)
        return written.getvalue()[self._schema_size :]

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


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    if isinstance(kind, pa.BaseExtensionType):
        return _has_dictionary(kind.storage_type)
    return any(_has_dictionary(kind.field(index).type) for index in range(kind.num_fields))


def can_be_read_again(data: Any) -> bool:
    """Whether `as_reader` yields all rows each time; streams are known to yield them only once."""
    return isinstance(data, pa.Table | pa.RecordBatch)


def regrouped(batches: Iterator[pa.RecordBatch], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most `batch_rows`, small ones put together."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        is_large = 2 * batch.num_rows > batch_rows
        if held and (is_large or rows + batch.num_rows > batch_rows):
            yield pa.concat_batches(held)
            held, rows = [], 0
        if is_large:
            for start in range(0, batch.num_rows, batch_rows):
                yield batch.slice(start, batch_rows)
        else:
            held.append(batch)
            rows += batch.num_rows
    if held:
        yield pa.concat_batches(held)


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
