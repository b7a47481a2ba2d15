"""What the service tells Prometheus is what happened, whichever worker it happened to."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

import numpy as np
import psutil
import pytest
from faults import workers
from payments import (
    SPEC,
    bodies_of,
    calls_of,
    rows_of,
    scorer_at,
    small_artifact,
    small_simulation,
)
from server import Samples, ask, metrics_when, running_server

from fraud_detect.scorer import STAGES, Call
from fraud_detect.service_metrics import METRICS, SCORES, SECONDS, TOTAL, ServiceMetrics
from fraud_ml.distribution import fit_reference

PAYMENTS = small_simulation().transactions
SCORE = "/predictions/fraud"


def lines_of(metrics: ServiceMetrics) -> dict[tuple[str, str], float]:
    pattern = r"^\[METRICS\](\w+)\.\w+:([0-9\-,.e]+)\|#([^|]*)\|#type:(?:COUNTER|GAUGE)\|#hostname:"
    text = metrics.lines()
    found = re.findall(pattern, text, re.MULTILINE)
    assert len(found) == text.count("\n"), "TorchServe could not parse a line"
    return {(name, labels): float(value) for name, value, labels in found}


@pytest.fixture
def scorer(tmp_path):
    return scorer_at(f"sqlite:///{tmp_path / 'features.db'}", small_artifact())


@pytest.fixture
def metrics(scorer) -> ServiceMetrics:
    metrics = ServiceMetrics(scorer.model, worker="9000")
    scorer.watchers.append(metrics)
    return metrics


def answer(scorer, metrics, calls) -> None:
    metrics.answered(scorer.answer(calls), scorer.seconds)


def test_what_was_told_is_not_told_again(scorer, metrics) -> None:
    answer(scorer, metrics, calls_of(PAYMENTS.slice(0, 7)))
    first = lines_of(metrics)
    assert first["fraud_requests_total", "version:1,status:200"] == 7
    assert first["fraud_model_info", "version:1,worker:9000,model:fraud"] == 1
    assert metrics.lines() == ""
    answer(scorer, metrics, [*calls_of(PAYMENTS.slice(7, 4)), Call(b"{")])
    second = lines_of(metrics)
    assert second["fraud_requests_total", "version:1,status:200"] == 4
    assert second["fraud_requests_total", "version:1,status:400"] == 1
    assert ("fraud_model_info", "version:1,worker:9000,model:fraud") not in second


def test_counters_begin_at_zero_before_there_is_anything_to_count(metrics) -> None:
    found = lines_of(metrics)
    assert found["fraud_degraded_total", "version:1"] == 0
    assert found["fraud_stage_seconds_bucket", "version:1,stage:total,le:0.05"] == 0
    assert found["fraud_score_bucket", "version:1,le:+Inf"] == 0
    assert metrics.lines() == ""


def test_a_bucket_has_all_that_is_not_above_its_bound(scorer, metrics) -> None:
    seen = []
    scorer.watchers.append(seen.append)
    answer(scorer, metrics, calls_of(PAYMENTS.slice(0, 50)))
    found = lines_of(metrics)
    for bound in SCORES:
        expected = np.count_nonzero(seen[0].scores <= np.float32(bound))
        assert found.get(("fraud_score_bucket", f"version:1,le:{bound}"), 0) == expected
    assert found["fraud_score_bucket", "version:1,le:+Inf"] == 50


def test_each_call_waited_for_every_stage(metrics) -> None:
    nothing: list = [type("Answer", (), {"status": 200})] * 3
    metrics.answered(nothing, {"parse": 0.0025, "answer": 2.0})
    found = lines_of(metrics)
    bucket = "fraud_stage_seconds_bucket"
    assert found[bucket, "version:1,stage:parse,le:0.001"] == 0
    assert found[bucket, "version:1,stage:parse,le:0.0025"] == 3
    assert found[bucket, "version:1,stage:answer,le:1.0"] == 0
    assert found[bucket, "version:1,stage:total,le:+Inf"] == 3
    assert found["fraud_stage_seconds_sum", "version:1,stage:total"] == pytest.approx(6.0075)
    assert found[bucket, "version:1,stage:score,le:+Inf"] == 0


def test_labels_cannot_break_a_line(metrics) -> None:
    metrics.set("fraud_state_keys", 3, "a:b,c|#d\n")
    assert lines_of(metrics)["fraud_state_keys", "version:1,worker:9000,key:a_b_c__d_"] == 3


def test_through_torchserve_counts_are_exact_with_two_workers(tmp_path) -> None:
    decisions = f"sqlite:///{tmp_path / 'decisions.db'}"
    with running_server(tmp_path, decision_log=decisions, workers=2) as server:
        replies = [
            ask(server.ports.inference, SCORE, body) for body in bodies_of(PAYMENTS.slice(0, 120))
        ]
        wrong = [ask(server.ports.inference, SCORE, b"{") for _ in range(9)]
        assert {reply.status for reply in wrong} == {400}
        written = ("1", "written")

        def all_told(found: Samples) -> bool:
            """TorchServe takes in a worker's lines one by one, and a second apart."""
            return (
                found["fraud_decision_log_total"].get(written) == 120
                and sum(found["fraud_decisions_total"].values()) == 120
                and sum(found["fraud_requests_total"].values()) == 129
                and found["fraud_stage_seconds_bucket"].get(("1", TOTAL, "+Inf")) == 129
                and found["fraud_score_bucket"].get(("1", "+Inf")) == 120
            )

        found = metrics_when(server.ports.metrics, all_told)
    decided = Counter(("1", reply.json["decision"]) for reply in replies)
    assert len(decided) > 1
    assert found["fraud_decisions_total"] == decided
    assert found["fraud_requests_total"] == {("1", "200"): 120, ("1", "400"): 9}
    outcomes = {("1", "taken"): 120, written: 120, ("1", "dropped"): 0}
    assert found["fraud_decision_log_total"] == outcomes
    assert found["fraud_degraded_total"] == {("1",): 0}
    buckets = found["fraud_stage_seconds_bucket"]
    assert buckets["1", TOTAL, "+Inf"] == buckets["1", "parse", "+Inf"] == 129
    assert {buckets["1", stage, "+Inf"] for stage in ("state", "score", "decide")} == {120}
    assert {stage for _, stage, _ in buckets} == {*STAGES, TOTAL}
    assert {bound for *_, bound in buckets} <= {*map(str, SECONDS), "+Inf"}
    scores = np.float32([reply.json["score"] for reply in replies])
    for bound, count in found["fraud_score_bucket"].items():
        assert count == np.count_nonzero(scores <= np.float32(bound[1]))
    assert set(found) <= {metric.name for metric in METRICS}
    # Each tells its own gauges: none overwrites another's.
    workers = {worker for _, worker, _ in found["fraud_model_info"]}
    assert len(workers) == 2
    assert set(found["fraud_model_info"].values()) == {1}
    for key in ("customer_id", "terminal_id"):  # a worker may know the last payments not yet
        n_keys = len(PAYMENTS.slice(0, 120)[key].unique())
        of_workers = [found["fraud_state_keys"]["1", worker, key] for worker in workers]
        assert 0.8 * n_keys < max(of_workers) <= n_keys


def test_what_two_workers_have_seen_adds_up_and_a_successor_goes_on_under_the_same_name(
    tmp_path,
) -> None:
    rows = np.zeros((9, len(SPEC.names)), np.float32)
    artifact = replace(small_artifact(), reference=fit_reference(rows, np.zeros(9), SPEC.names))
    first, *others = (
        json.dumps({"transactions": rows_of(PAYMENTS.slice(start, 100))}).encode()
        for start in (0, 100, 200)
    )
    with (
        running_server(tmp_path, artifact=artifact, workers=2, batch_size=1) as server,
        ThreadPoolExecutor() as callers,
    ):
        metrics, inference = server.ports.metrics, server.ports.inference

        def seen(found: Samples) -> dict[str, float]:
            return {worker: rows for (_, worker), rows in found["fraud_drift_rows"].items()}

        assert ask(inference, SCORE, first).status == 200
        found = metrics_when(metrics, lambda found: 100 in seen(found).values())
        (busy,) = (worker for worker, rows in seen(found).items() if rows == 100)
        # It gets one of the two at most: nobody else than the other worker can answer then.
        process = next(each for each in workers(server) if busy in name_of(each))
        process.suspend()
        replies = [callers.submit(ask, inference, SCORE, body) for body in others]
        assert next(as_completed(replies)).result().status == 200
        process.resume()
        found = metrics_when(metrics, lambda found: sum(seen(found).values()) >= 200)
        assert len(seen(found)) == 2
        assert seen(found)[busy] == 100  # it tells the drift once a minute
        keys = {worker for _, worker, _ in found["fraud_state_keys"]}
        assert keys == set(seen(found))
        process.kill()
        metrics_when(metrics, lambda found: seen(found)[busy] == 0)
        assert {worker for _, worker, _ in found["fraud_model_info"]} == keys


def name_of(worker: psutil.Process) -> str:
    """The argument by which TorchServe tells workers apart."""
    arguments = worker.cmdline()
    return arguments[arguments.index("--sock-name") + 1]
