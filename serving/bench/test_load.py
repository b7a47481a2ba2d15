"""The load generator sends everything once, counts right, and notices what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from load import AnswerError, closed_loop, post

SLOW = 0.01  # seconds


class Server(ThreadingHTTPServer):
    """Remembers what it was sent; a body that is a number is answered with that status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.connections: set[int] = set()
        self.most = self.now = 0
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """Answers after a while."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.connections.add(self.client_address[1])
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        time.sleep(SLOW)
        with self.server.lock:
            self.server.now -= 1
        answer = b"x" * 300_000  # more than one piece
        self.send_response(int(body) if body.isdigit() else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_every_request_is_sent_once_over_as_many_connections_as_asked_for() -> None:
    bodies = [f"request {number}".encode() for number in range(50)]
    with serving() as server:
        load = closed_loop(server.server_port, [post("/", body) for body in bodies], connections=4)
        assert sorted(server.bodies) == sorted(bodies)
        assert len(server.connections) == 4
        assert server.most <= 4
    assert len(load.latencies) == 50
    assert load.rate == pytest.approx(50 / load.seconds)
    assert load.latencies.min() >= SLOW
    assert load.milliseconds(0) <= load.milliseconds(0.5) <= load.milliseconds(1)
    # Four at a time cannot take longer than all one after the other.
    assert load.latencies.max() <= load.seconds <= load.latencies.sum()


def test_it_stops_when_the_time_is_over() -> None:
    with serving() as server:
        load = closed_loop(
            server.server_port, [post("/", b"a")] * 10_000, connections=2, seconds=5 * SLOW
        )
        assert len(server.bodies) == len(load.latencies)
    assert 2 <= len(load.latencies) < 10_000


@pytest.mark.parametrize("status", [201, 400, 503])
def test_a_wrong_status_is_noticed(status: int) -> None:
    requests = [post("/", body) for body in (b"a", str(status).encode(), b"b")]
    with serving() as server, pytest.raises(AnswerError, match=str(status)):
        closed_loop(server.server_port, requests, connections=1)
