"""Through TorchServe, payments get what the scorer gives them."""

import json

import numpy as np
import psutil
import pytest
from payments import bodies_of, rows_of, scorer_at, scores_of, small_artifact, small_simulation
from server import ask, running_server

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
    np.testing.assert_allclose(scores_of(replies), scores_of(scorer.answer(bodies)), atol=1e-6)
    assert replies[0].json["model"] == {"name": "fraud", "version": 1}


def test_a_list_gets_a_list_in_its_order(port) -> None:
    rows = rows_of(PAYMENTS.slice(300, 50))
    reply = ask(port, SCORE, json.dumps({"transactions": rows}).encode())
    assert reply.status == 200
    answered = [row["transaction_id"] for row in reply.json["transactions"]]
    assert answered == [row["transaction_id"] for row in rows]


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
        folder = server.log.parent.parent
        ours = psutil.Process().children(recursive=True)
        assert any("java" in process.name() for process in ours)
        assert any("model_service_worker" in " ".join(process.cmdline()) for process in ours)
    _, alive = psutil.wait_procs(ours, timeout=10)
    assert not [p for p in alive if str(folder) in " ".join(p.environ().values())]
    assert not folder.exists()
