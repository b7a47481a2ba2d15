"""Makes TorchServe's worker read what the frontend sends in large pieces.

It reads a request field by field, with a system call for each length and each value. There will be
no release after 0.12.0 that could change the functions replaced here; for another version they are
left as they are.

Here is also seen when a worker is at work: from when it was sent something until it reads again,
when its answers are sent.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import ts.protocol.otf_message_handler as codec
from ts.version import __version__

_KNOWN_VERSION = "0.12.0"
_PIECE = 65_536
_LENGTH = struct.Struct("!i")
_END = -1  # in place of a length

Nothing = Callable[[], None]


class _Incoming:
    """What a socket sent, and was not asked for yet."""

    def __init__(self, connection: socket.socket, begun: Nothing, answered: Nothing) -> None:
        self.connection = connection
        self._begun = begun
        self._answered = answered
        self._content = b""
        self._start = 0

    def take(self, length: int) -> bytes:
        """The next bytes, as soon as they are there."""
        start, stop = self._start, self._start + length
        if stop > len(self._content):
            self._receive(length)
            start, stop = 0, length
        self._start = stop
        return self._content[start:stop]

    def requests(self) -> list[dict[str, Any]]:
        """The requests of a batch, as the function returns them that this replaces.

        Values are left as they are: the handler decodes them.
        """
        found = []
        while (name := self._field()) is not None:
            headers, parameters = [*self._headers()], [*self._parameters()]
            found.append({"requestId": name, "headers": headers, "parameters": parameters})
        return found

    def _headers(self) -> Iterator[dict[str, bytes | None]]:
        while (name := self._field()) is not None:
            yield {"name": name, "value": self._field()}

    def _parameters(self) -> Iterator[dict[str, str | bytes | None]]:
        while (name := self._field()) is not None:
            kind = self._field() or b""
            yield {"name": name.decode(), "contentType": kind.decode(), "value": self._field()}

    def _field(self) -> bytes | None:
        """None at the end of a list."""
        (length,) = _LENGTH.unpack(self.take(_LENGTH.size))
        return None if length == _END else self.take(length)

    def _receive(self, length: int) -> None:
        """Waits until so many bytes are there, from the start on."""
        parts = [self._content[self._start :]]
        missing = length - len(parts[0])
        if not parts[0]:
            self._answered()  # all that was sent, or the rest will follow at once
        while missing > 0:
            piece = self.connection.recv(max(missing, _PIECE))
            self._begun()
            if not piece:
                sys.exit(0)  # the frontend is gone, and so is the worker: as in the original
            parts.append(piece)
            missing -= len(piece)
        self._content, self._start = b"".join(parts), 0


def read_in_large_pieces(*, begun: Nothing, answered: Nothing) -> None:
    """Replaces the reading functions, once the request being answered was read to its end.

    Args:
        begun: called when the worker was sent something, again for each piece of it.
        answered: called when it has sent its answers to all that it was sent.
    """
    if __version__.strip() != _KNOWN_VERSION:
        return
    incoming: _Incoming | None = None

    def of(connection: socket.socket) -> _Incoming:
        nonlocal incoming
        if incoming is None or incoming.connection is not connection:
            incoming = _Incoming(connection, begun, answered)
        return incoming

    codec._retrieve_buffer = lambda connection, length: of(connection).take(length)
    codec._retrieve_inference_msg = lambda connection: of(connection).requests()
