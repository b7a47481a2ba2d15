"""The proxy before the real service, which wants a token of its own."""

from __future__ import annotations

import json

from nginx_proxy import JSON, TOKEN, proxy_before
from payments import bodies_of, small_simulation
from server import metrics_when, running_server

SCORE = "/predictions/fraud"


def test_payments_are_scored_through_the_proxy(tmp_path) -> None:
    models, front = tmp_path / "service", tmp_path / "proxy"
    models.mkdir()
    front.mkdir()
    first, *_ = bodies_of(small_simulation().transactions)
    with running_server(models, token_auth=True) as server:
        token = server.folder.token_file.read_text()
        with proxy_before(
            front, scoring=server.ports.inference, metrics=server.ports.metrics, token=token
        ) as proxy:
            assert token != TOKEN
            scored = proxy.ask(SCORE, first)
            assert scored.status == 200, scored.body
            assert 0 <= json.loads(scored.body)["score"] <= 1
            assert proxy.ask("/explanations/fraud", first).status == 200
            invalid = proxy.ask(SCORE, b"{}")
            assert (invalid.status, "error" in json.loads(invalid.body)) == (400, True)
            assert "Retry-After" not in invalid.headers
            too_many = json.dumps({"transactions": [{}] * 10_001}).encode()
            assert proxy.ask(SCORE, too_many).status == 413
            assert proxy.ask(SCORE, first, headers=JSON | {"Authorization": "x"}).status == 401
            assert proxy.watch("/ping").status == 200
            metrics_when(server.ports.metrics, lambda told: bool(told.get("fraud_requests_total")))
            assert b"fraud_requests_total" in proxy.watch("/metrics").body
            server.stop()
            gone = proxy.ask(SCORE, first)
            assert (gone.status, gone.headers["Retry-After"]) == (502, "5")


def test_without_the_service_s_token_nobody_is_let_through(tmp_path) -> None:
    models, front = tmp_path / "service", tmp_path / "proxy"
    models.mkdir()
    front.mkdir()
    with (
        running_server(models, token_auth=True) as server,
        proxy_before(front, scoring=server.ports.inference, metrics=server.ports.metrics) as proxy,
    ):
        assert proxy.ask(SCORE).status == 400  # TorchServe has no 401
        assert proxy.watch("/ping").status == 400
