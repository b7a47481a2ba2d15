"""Makes TorchServe's worker read what the frontend sends in large pieces.

It reads a request field by field, with a system call for each length and each value. There will be
no release after 0.12.0 that could
change the function replaced here; for another version it is left as it is.

Here is also seen when a worker is at work: from when it was sent something until it reads again,
when its answers are sent.
"""

from __future__ import annotations

import socket
import sys
import weakref

import ts.protocol.otf_message_handler as codec
from ts.version import __version__

from fraud_detect.at_work import AtWork

_KNOWN_VERSION = "0.12.0"
_PIECE = 65_536


class _Buffer:
    """What a socket sent, and was not asked for yet."""

    def __init__(self) -> None:
        self.content = b""
        self.start = 0

    def take(self, connection: socket.socket, length: int, at_work: AtWork | None) -> bytearray:
        stop = self.start + length
        if stop > len(self.content):
            parts = [self.content[self.start :]]
            missing = stop - len(self.content)
            if at_work is not None and not parts[0]:
                at_work.end()  # all that was sent is answered, or the rest will follow at once
            while missing > 0:
                piece = connection.recv(max(missing, _PIECE))
                if at_work is not None:
                    at_work.begin()
                if not piece:
                    sys.exit(0)  # the frontend is gone, and so is the worker: as in the original
                parts.append(piece)
                missing -= len(piece)
            self.content, self.start, stop = b"".join(parts), 0, length
        taken = bytearray(self.content[self.start : stop])
        self.start = stop
        return taken


_buffers: weakref.WeakKeyDictionary[socket.socket, _Buffer] = weakref.WeakKeyDictionary()


def read_in_large_pieces(at_work: AtWork | None = None) -> None:
    """Replaces the reading function, once the request being answered was read to its end.

    Args:
        at_work: is told when the worker begins and ends to work.
    """

    def retrieve(connection: socket.socket, length: int) -> bytearray:
        buffer = _buffers.get(connection)
        if buffer is None:
            buffer = _buffers[connection] = _Buffer()
        return buffer.take(connection, length, at_work)

    if __version__.strip() == _KNOWN_VERSION:
        codec._retrieve_buffer = retrieve
