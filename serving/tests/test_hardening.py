"""What a server refuses, and that nobody gets in without a token."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil
import pytest
from payments import bodies_of, small_simulation
from server import JSON, ask, running_server

from fraud_detect.management import _Connection
from fraud_detect.torchserve import TorchServe

BODIES = bodies_of(small_simulation().transactions)
SCORE = "/predictions/fraud"
LIMIT = 100_000
QUEUE = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TS_ALLOWED_URLS", ".*")
        patch.setenv("PYTHONINSPECT", "")
        with running_server(
            tmp_path_factory.mktemp("server"),
            token_auth=True,
            max_request_bytes=LIMIT,
            queue=QUEUE,
            batch_size=1,
        ) as server:
            yield server


@pytest.fixture(scope="module")
def port(server: TorchServe) -> int:
    return server.ports.inference


@pytest.fixture(scope="module")
def bearer(server: TorchServe) -> dict[str, str]:
    return JSON | {"Authorization": f"Bearer {server.folder.token('inference')}"}


def wrong_tokens(server: TorchServe) -> list[dict[str, str]]:
    """Headers without the right one."""
    said = [
        "Bearer x",
        "Bearer ",
        f"Basic {server.folder.token('inference')}",
        server.folder.token("inference"),
    ]
    said += [
        f"Bearer {server.folder.token('management')}",
        f"Bearer {server.folder.token('inference')}x",
    ]
    return [JSON, *(JSON | {"Authorization": one} for one in said)]


@pytest.mark.parametrize(
    "path",
    [
        *(SCORE, "/explanations/fraud", "/predictions/fraud/1", "/invocations", "/ping"),
        *("/v1/models/fraud:predict", "/v2/models/fraud/infer", "/v2/health/ready", "/v2"),
        "/token?type=inference",
    ],
)
def test_without_the_right_token_nothing_is_answered(server, port, path) -> None:
    for headers in wrong_tokens(server):
        reply = ask(port, path, BODIES[0], headers=headers)
        assert reply.status == 400
        assert "Token" in reply.json["message"]


@pytest.mark.parametrize(
    "path", [SCORE, "/predictions/fraud/1", "/v1/models/fraud:predict", "/v2/models/fraud/infer"]
)
def test_with_the_right_token_it_scores(port, bearer, path) -> None:
    assert 0 <= ask(port, path, BODIES[0], headers=bearer).json["score"] <= 1


def manage(server: TorchServe, method: str, path: str, token: str | None) -> int:
    """The status that the management API answers, over its socket."""
    connection = _Connection(server.folder.path / "management.sock")
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_management_api_wants_its_own_token(server) -> None:
    assert manage(server, "GET", "/models", server.folder.token("management")) == 200
    for token in (None, "x", server.folder.token("inference")):
        assert manage(server, "GET", "/models", token) == 400


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:1/other.mar", "https://127.0.0.1:1/other.mar", "s3://a/other.mar"),
        *("file:///etc/passwd", "file://{archives}/../key_file.json", "../key_file.json"),
    ],
)
def test_no_model_is_loaded_from_elsewhere(server, url) -> None:
    address = url.format(archives=server.folder.path / "archives")
    status = manage(server, "POST", f"/models?url={address}", server.folder.token("management"))
    assert 400 <= status < 500


def test_the_management_api_is_on_no_port(server) -> None:
    listening = {
        connection.laddr
        for process in psutil.Process().children(recursive=True)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    ports = server.ports
    # TorchServe always opens the last one. It wants the management token, as the next test shows.
    expected = {ports.inference, ports.metrics, ports.grpc_inference, ports.grpc_management}
    assert {address.port for address in listening} == expected
    assert all(address.ip.removeprefix("::ffff:") == "127.0.0.1" for address in listening)


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message, of up to 16,383 bytes."""
    length = len(content)
    size = [length] if length < 128 else [length & 127 | 128, length >> 7]
    return bytes([number << 3 | 2, *size]) + content


def over_grpc(port: int, method: str, request: bytes, token: str | None) -> bytes:
    """What a server answers over gRPC; the services are TorchServe's."""
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/org.pytorch.serve.grpc.{method}")
        answer: bytes = call(request, metadata=metadata, timeout=30)
    return answer


def test_grpc_scores_with_the_right_token_only(server) -> None:
    given = _field(1, b"body") + _field(2, BODIES[0])
    request = _field(1, b"fraud") + _field(3, given)
    port, method = server.ports.grpc_inference, "inference.InferenceAPIsService/Predictions"
    answer = over_grpc(port, method, request, server.folder.token("inference"))
    assert 0 <= json.loads(answer[answer.index(b"{") :])["score"] <= 1
    for token in (None, "x", server.folder.token("management")):
        with pytest.raises(grpc.RpcError, match="Token Authorization failed"):
            over_grpc(port, method, request, token)


def test_management_over_grpc_wants_its_token(server) -> None:
    port, method = server.ports.grpc_management, "management.ManagementAPIsService/ListModels"
    assert b"models" in over_grpc(port, method, b"", server.folder.token("management"))
    for token in (None, "x", server.folder.token("inference")):
        with pytest.raises(grpc.RpcError, match="Token Authorization failed"):
            over_grpc(port, method, b"", token)


def test_a_body_above_the_limit_is_refused(port, bearer) -> None:
    assert ask(port, SCORE, BODIES[0].ljust(LIMIT), headers=bearer).status == 200
    assert ask(port, SCORE, BODIES[0].ljust(LIMIT + 1), headers=bearer).status == 413


def test_what_is_compressed_is_not_unpacked(port, bearer) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    reply = ask(port, SCORE, bomb, headers=bearer | {"Content-Encoding": "gzip"})
    assert reply.status == 400
    assert "no JSON object" in reply.json["error"]


@pytest.mark.parametrize(
    "path", ["/predictions/../models", "/predictions/fraud%00", "/predictions/%ff", "/models", "/a"]
)
def test_other_paths_lead_nowhere(port, bearer, path) -> None:
    assert ask(port, path, BODIES[0], headers=bearer).status == 404


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"POST /predictions/fraud HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n",
        b"POST /predictions/fraud?" + b"a" * 5_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /predictions/fraud HTTP/1.1\r\nX-\xff: 1\r\n\r\n",
        b"POST /predictions/fraud HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_gets_400(port, head) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 400")


def test_multipart_is_read_and_what_lacks_the_part_refused(port, bearer) -> None:
    headers = bearer | {"Content-Type": "multipart/form-data; boundary=B"}
    part = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n--B--\r\n'
    assert ask(port, SCORE, part % (b"body", BODIES[0]), headers=headers).status == 200
    for body in (part % (b"x", BODIES[0]), part % (b"\xff", b"1"), part[:-9], b"x"):
        assert ask(port, SCORE, body, headers=headers).status == 400


def test_no_other_origin_is_let_in(port, bearer) -> None:
    asked = {"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "POST"):
        reply = ask(port, SCORE, BODIES[0], method=method, headers=bearer | asked)
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def worker() -> psutil.Process:
    (found,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if any("model_service_worker" in part for part in process.cmdline())
    )
    return found


def test_workers_do_not_see_what_would_change_how_they_start(server) -> None:
    names = worker().environ()
    assert "FRAUD_FEATURE_STORE" in names
    assert "PYTHONINSPECT" not in names


def test_a_full_queue_answers_503_and_what_waited_is_answered(port, bearer) -> None:
    def send(number: int) -> int:
        try:
            return ask(port, SCORE, BODIES[number], headers=bearer).status
        except (OSError, http.client.HTTPException):
            return 0

    stopped = worker().pid
    os.kill(stopped, signal.SIGSTOP)
    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(send, number) for number in range(20)]
        while sum(one.done() for one in sent) < 20 - QUEUE - 2:
            assert any(one.running() for one in sent)
        os.kill(stopped, signal.SIGCONT)
        statuses = Counter(one.result() for one in sent)
    assert statuses.keys() == {200, 503}
    assert statuses[200] >= QUEUE
    assert worker().pid == stopped
