"""Through TorchServe, payments get what the scorer gives them."""

import json

import numpy as np
import psutil
import pyarrow as pa
import pytest
from payments import (
    bodies_of,
    calls_of,
    rows_of,
    scorer_at,
    scores_of,
    small_artifact,
    small_simulation,
)
from server import ask, running_server

from fraud_detect.answers import ARROW

PAYMENTS = small_simulation().transactions
SCORE = "/predictions/fraud"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), workers=2) as server:
        yield server


@pytest.fixture(scope="module")
def port(server):
    return server.ports.inference


def test_a_day_of_payments_scores_as_in_process_whichever_worker_answers(port, tmp_path) -> None:
    bodies = bodies_of(PAYMENTS.slice(0, 300))
    replies = [ask(port, SCORE, body) for body in bodies]
    assert {reply.status for reply in replies} == {200}
    assert {reply.headers["content-type"] for reply in replies} == {"application/json"}
    scorer = scorer_at(f"sqlite:///{tmp_path / 'other.db'}", small_artifact())
    np.testing.assert_allclose(
        scores_of(replies), scores_of(scorer.answer(calls_of(PAYMENTS.slice(0, 300)))), atol=1e-6
    )
    assert replies[0].json["model"] == {"name": "fraud", "version": 1}


def test_a_list_gets_a_list_in_its_order(port) -> None:
    rows = rows_of(PAYMENTS.slice(300, 50))
    reply = ask(port, SCORE, json.dumps({"transactions": rows}).encode())
    assert reply.status == 200
    answered = [row["transaction_id"] for row in reply.json["transactions"]]
    assert answered == [row["transaction_id"] for row in rows]


def test_arrow_in_arrow_out(port) -> None:
    some = PAYMENTS.slice(350, 40)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, some.schema) as writer:
        writer.write_table(some)
    reply = ask(port, SCORE, sink.getvalue().to_pybytes(), headers={"Content-Type": ARROW})
    assert (reply.status, reply.headers["content-type"]) == (200, ARROW)
    scored = pa.ipc.open_stream(reply.body).read_all()
    assert scored["transaction_id"].to_pylist() == some["transaction_id"].to_pylist()
    assert scored["score"].null_count == 0


def test_an_explanation_has_every_feature(port) -> None:
    (body,) = bodies_of(PAYMENTS.slice(400, 1))
    scored = ask(port, SCORE, body).json
    explained = ask(port, "/explanations/fraud", body).json
    assert explained["score"] == pytest.approx(scored["score"], abs=1e-6)
    assert len(explained["explanation"]["features"]) == 15


def test_what_cannot_be_scored_gets_400_and_a_reason(port) -> None:
    for body in (b"", b"{", b"[1]", b"\xff\xfe", b'{"transactions": 3}', b'{"amount": "x"}'):
        reply = ask(port, SCORE, body)
        assert reply.status == 400, body
        assert reply.json["error"], body


def test_it_is_healthy_and_counts(server, port) -> None:
    assert ask(port, "/ping").json == {"status": "Healthy"}
    metrics = ask(server.ports.metrics, "/metrics")
    assert metrics.status == 200
    assert b"ts_inference_requests_total" in metrics.body


def test_a_stopped_server_leaves_nothing_behind(tmp_path) -> None:
    with running_server(tmp_path) as server:
        folder = server.folder.path
        ours = psutil.Process().children(recursive=True)
        assert any("java" in process.name() for process in ours)
        assert any("model_service_worker" in " ".join(process.cmdline()) for process in ours)
    _, alive = psutil.wait_procs(ours, timeout=10)
    assert not [p for p in alive if str(folder) in " ".join(p.environ().values())]
    assert not folder.exists()
