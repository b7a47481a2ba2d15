"""A load generator: a closed loop over some connections, in one thread.

Each connection sends its next request as soon as it has the answer to the one before, so that a
slow server is asked less often: what is measured is how much it can do, and how long that takes.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

_PIECE = 1 << 18  # bytes
_SHOWN = 300  # bytes of an answer, in a message
_PATIENCE = 60.0  # seconds without any answer


class AnswerError(Exception):
    """A server answered something else than 200, or not at all."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of N requests."""

    latencies: npt.NDArray[np.float64]
    """Seconds from the first byte sent to the last received: shape ``(N,)``."""
    seconds: float
    """From the first request to the last answer."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def milliseconds(self, quantile: float) -> float:
        """That share of the answers, 0 to 1, took no longer."""
        return float(np.quantile(self.latencies, quantile)) * 1e3


def post(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A whole HTTP request."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def closed_loop(
    port: int, requests: Iterable[bytes], *, connections: int, seconds: float = float("inf")
) -> Load:
    """What comes of sending ``requests`` in order, until they or the time have run out.

    Args:
        port: on loopback.
        requests: what :func:`post` returns; at least one.
        connections: kept alive; as many requests are under way.
        seconds: after which no more are sent; those under way are still waited for.

    Raises:
        AnswerError: an answer is not 200, has no length, or does not come.
    """
    coming = iter(requests)
    latencies: list[float] = []
    opened = [_Connection(port) for _ in range(connections)]
    try:
        with selectors.DefaultSelector() as selector:
            started = time.perf_counter()
            for connection in opened:
                if connection.send_next(coming):
                    selector.register(connection.socket, selectors.EVENT_READ, connection)
            while selector.get_map():
                ready = selector.select(_PATIENCE)
                if not ready:
                    raise AnswerError(f"no answer within {_PATIENCE:g} s")
                for key, _ in ready:
                    connection = cast(_Connection, key.data)
                    if not connection.receive():
                        continue
                    now = time.perf_counter()
                    latencies.append(now - connection.sent_at)
                    if now - started >= seconds or not connection.send_next(coming):
                        selector.unregister(connection.socket)
            taken = time.perf_counter() - started
    finally:
        for connection in opened:
            connection.socket.close()
    return Load(np.array(latencies), taken)


class _Connection:
    """One request under way at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._answer = bytearray()
        self._length = 0  # of the answer with its head; 0 until that is there

    def send_next(self, requests: Iterator[bytes]) -> bool:
        """Whether there was one."""
        request = next(requests, None)
        if request is None:
            return False
        self._answer.clear()
        self._length = 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)
        return True

    def receive(self) -> bool:
        """Takes what has come; whether the answer is complete."""
        piece = self.socket.recv(_PIECE)
        if not piece:
            raise AnswerError(f"the server hung up after {bytes(self._answer[:_SHOWN])!r}")
        self._answer += piece
        if not self._length:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._length = end + 4 + _content_length(bytes(self._answer[:end]))
        if len(self._answer) < self._length:
            return False
        if not self._answer.startswith(b"HTTP/1.1 200"):
            raise AnswerError(f"the server answered {bytes(self._answer[:_SHOWN])!r}")
        return True


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise AnswerError(f"an answer without Content-Length: {head[:_SHOWN]!r}")
