"""The proxy before a service that answers what it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from nginx_proxy import JSON, OTHER_TOKEN, TOKEN, Proxy, proxy_before

from fraud_detect.torchserve_config import ServerOptions

SCORE = "/predictions/fraud"
SERVICE_TOKEN = "the-service-s-own"
ARROW = "application/vnd.apache.arrow.stream"


class _Service(ThreadingHTTPServer):
    """Remembers what it was asked, and answers `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.status = 200
        self.asked: list[tuple[str, dict[str, str], bytes]] = []


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        self._answer(b'{"from": "the service"}')

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers), b""))
        self._answer(b"fine")

    def _answer(self, body: bytes) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[tuple[Proxy, _Service]]:
    with _Service() as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        port = service.server_address[1]
        folder = tmp_path_factory.mktemp("proxy")
        with proxy_before(folder, scoring=port, metrics=port, token=SERVICE_TOKEN) as proxy:
            yield proxy, service
        service.shutdown()


@pytest.fixture
def proxy(running) -> Proxy:
    proxy, service = running
    service.asked.clear()
    service.status = 200
    return proxy


@pytest.fixture
def service(running) -> _Service:
    return running[1]


@pytest.mark.parametrize("path", [SCORE, "/explanations/fraud"])
@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", ARROW])
def test_a_payment_goes_through_with_the_service_s_token_in_place_of_the_caller_s(
    proxy, service, path, kind
) -> None:
    reply = proxy.ask(path, b"payment", headers=JSON | {"Content-Type": kind})
    assert (reply.status, reply.body) == (200, b'{"from": "the service"}')
    assert "Retry-After" not in reply.headers
    ((asked, headers, body),) = service.asked
    assert (asked, body, headers["Content-Type"]) == (path, b"payment", kind)
    assert headers["Authorization"] == f"Bearer {SERVICE_TOKEN}"
    assert TOKEN not in str(headers)


@pytest.mark.parametrize(
    "said", [None, "", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x"]
)
def test_who_has_no_token_gets_401(proxy, service, said) -> None:
    headers = {"Content-Type": "application/json"} | (
        {} if said is None else {"Authorization": said}
    )
    reply = proxy.ask(SCORE, headers=headers)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert "token" in json.loads(reply.body)["error"]
    assert not service.asked


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": ""},
        {"Content-Encoding": "gzip"},
    ],
)
def test_what_the_service_does_not_read_gets_415(proxy, service, headers) -> None:
    reply = proxy.ask(SCORE, headers=JSON | headers)
    assert reply.status == 415
    assert "arrow" in json.loads(reply.body)["error"]
    assert not service.asked


def test_a_body_that_is_too_large_gets_413_and_the_largest_goes_through(proxy, service) -> None:
    most = ServerOptions().max_request_bytes
    reply = proxy.ask(SCORE, b"x" * (most + 1))
    assert reply.status == 413
    assert str(most) in json.loads(reply.body)["error"]
    assert not service.asked
    assert proxy.ask(SCORE, b"x" * most).status == 200
    assert len(service.asked[0][2]) == most


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/models", "/models/fraud", "/metrics", "/ping", "/api-description", "/refused"),
        *("/v1/models/fraud:predict", "/v2/models/fraud/infer", "/predictions/fraud/1"),
        *("/predictions/other", "/predictions/fraud/../../models", "//predictions/../models"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_scoring_is_there(proxy, service, path, method) -> None:
    reply = proxy.ask(path, method=method)
    assert reply.status == 404
    assert "error" in json.loads(reply.body)
    assert not service.asked


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_scoring_is_by_post(proxy, service, method) -> None:
    reply = proxy.ask(SCORE, method=method)
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert not service.asked


@pytest.mark.parametrize(
    ("status", "after"), [(500, "1"), (503, "1"), (507, "1"), (400, None), (413, None)]
)
def test_it_is_said_when_to_try_again_and_the_service_s_words_stay(
    proxy, service, status, after
) -> None:
    service.status = status
    reply = proxy.ask(SCORE)
    assert (reply.status, reply.body) == (status, b'{"from": "the service"}')
    assert reply.headers.get("Retry-After") == after
    assert len(service.asked) == 1  # a payment is sent once


def test_a_caller_that_asks_too_often_gets_429_and_others_are_answered(
    service, running, tmp_path
) -> None:
    service.status = 200
    port = service.server_address[1]
    seldom = {"rate=2000r/s": "rate=1r/m", "burst=1000": "burst=3"}
    with proxy_before(tmp_path, scoring=port, metrics=port, other=seldom) as proxy:
        replies = [proxy.ask(SCORE) for _ in range(6)]
        assert [reply.status for reply in replies] == [200] * 4 + [429] * 2
        assert replies[-1].headers["Retry-After"] == "1"
        assert "too many" in json.loads(replies[-1].body)["error"]
        shop = {**JSON, "Authorization": f"Bearer {OTHER_TOKEN}"}
        assert proxy.ask(SCORE, headers=shop).status == 200


def test_the_service_is_asked_for_what_was_checked_and_for_nothing_more(proxy, service) -> None:
    assert proxy.ask("/models/../predictions/fraud?customer=1").status == 200
    assert [path for path, _, _ in service.asked] == [SCORE]


def test_a_service_that_is_not_ready_is_503_and_is_not_asked(service, running, tmp_path) -> None:
    service.asked.clear()
    port = service.server_address[1]
    with proxy_before(tmp_path, scoring=port, metrics=port, closed=True) as proxy:
        reply = proxy.ask(SCORE)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        assert "not ready" in json.loads(reply.body)["error"]
        assert proxy.watch("/ping").status == 503
    assert not service.asked


def test_a_service_that_is_away_is_502(tmp_path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        with proxy_before(tmp_path, scoring=port, metrics=port) as proxy:
            reply = proxy.ask(SCORE)
            assert (reply.status, reply.headers["Retry-After"]) == (502, "5")
            assert "try again" in json.loads(reply.body)["error"]
            assert proxy.watch("/ping").status == 502


def test_who_watches_sees_health_and_metrics_and_nothing_else(proxy, service) -> None:
    assert proxy.watch("/ping").status == 200
    assert proxy.watch("/metrics").status == 200
    (path, headers, _), (metrics, unsaid, _) = service.asked
    assert (path, metrics) == ("/ping", "/metrics")
    assert headers["Authorization"] == f"Bearer {SERVICE_TOKEN}"
    assert "Authorization" not in unsaid
    for closed in ("/", "/models", SCORE, "/api-description"):
        assert proxy.watch(closed).status == 404


def test_it_speaks_tls_only(proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as plain:
        plain.sendall(f"POST {SCORE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b"400" in plain.recv(100)
