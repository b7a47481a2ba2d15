"""What an Arrow IPC stream says of itself, before anything is made of it."""

from __future__ import annotations

import struct

import pyarrow as pa

_HEADER, _DATA, _COMPRESSION = 2, 1, 3  # fields of Message, DictionaryBatch, RecordBatch


def is_compressed(stream: pa.Buffer) -> bool:
    """Whether any of a stream's buffers is compressed: then it may be of any size once read.

    pyarrow does not tell; it stands in the messages' metadata, which are FlatBuffers
    (https://arrow.apache.org/docs/format/Columnar.html, *Encapsulated message format*).

    Raises:
        ArrowException, OSError: it is no stream.
        ValueError: a message cannot be read.
    """
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type in ("record batch", "dictionary"):
            table = _Table(message.metadata.to_pybytes()).child(_HEADER)
            if message.type == "dictionary":
                table = table.child(_DATA)
            if table.offset_of(_COMPRESSION):
                return True
    return False


class _Table:
    """A table of a FlatBuffer; the root by default."""

    def __init__(self, content: bytes, at: int | None = None) -> None:
        self._content = content
        self._at = self._number("<I", 0) if at is None else at

    def offset_of(self, field: int) -> int:
        """Where in the table a field is; 0 where it is not."""
        vtable = self._at - self._number("<i", self._at)
        place = 4 + 2 * field
        return self._number("<H", vtable + place) if place < self._number("<H", vtable) else 0

    def child(self, field: int) -> _Table:
        """The table that a field refers to."""
        offset = self.offset_of(field)
        if not offset:
            raise ValueError("an Arrow message without content")
        place = self._at + offset
        return _Table(self._content, place + self._number("<I", place))

    def _number(self, kind: str, at: int) -> int:
        try:
            if at < 0:
                raise ValueError("an Arrow message that refers to what is before it")
            (number,) = struct.unpack_from(kind, self._content, at)
        except struct.error as error:
            raise ValueError(f"an Arrow message that is cut short: {error}") from None
        return int(number)
