"""The benchmark measures everything that it promises, and says right who is better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from load import Load
from serving_bench import (
    IN_PROCESS,
    OF_SHADOWED,
    OURS,
    SHADOWED,
    UNITS,
    Plan,
    measured,
    payments_of,
    results_of,
    turn,
    warm_up,
)
from workload import simulated

SMALL = Plan(
    n_customers=1_000,
    n_known_days=1,
    warm_up=0.1,
    rounds=1,
    seconds=0.2,
    n_warm_up=100,
    n_bulks_warm_up=1,
    n_alone=20,
    n_together=200,
    n_bulks=1,
)


def values(factor: float = 1.0) -> dict[str, float]:
    return dict.fromkeys(UNITS, factor)


def test_a_small_run_has_every_measure_of_ours_and_of_the_scorer_alone() -> None:
    results = {result.name: result for result in measured(SMALL, (OURS, "FastAPI"))}
    assert list(results) == [*UNITS, *(f"{of}_floor" for of in UNITS)]
    for of in UNITS:
        assert results[of].value > 0
        assert results[of].peer == "FastAPI"
        assert results[of].ratio is not None
        assert results[f"{of}_floor"].ratio is None


def test_what_a_challenger_costs_is_told_against_ours_without_one() -> None:
    found = {
        OURS: values(10.0),
        SHADOWED: dict.fromkeys(OF_SHADOWED, 8.0),
        "peer": values(),
        IN_PROCESS: values(),
    }
    results = {result.name: result for result in results_of(found)}
    assert {results[of].peer for of in UNITS} == {"peer"}
    assert results["single_c64_shadowed"].ratio == pytest.approx(0.8)
    assert results["single_c64_p99_shadowed"].ratio == pytest.approx(1.25)
    assert {results[f"{of}_shadowed"].peer for of in OF_SHADOWED} == {OURS}


def test_the_ratio_is_against_the_best_peer_and_above_one_where_ours_is_better() -> None:
    slow, fast = values(2.0) | {"single_c1_p50": 8.0}, values(5.0) | {"single_c1_p50": 4.0}
    del slow["bulk_1000_arrow"], fast["bulk_1000_arrow"]
    found = {
        OURS: values(10.0) | {"single_c1_p50": 1.0},
        "slow": slow,
        "fast": fast,
        IN_PROCESS: values(),
    }
    results = {result.name: result for result in results_of(found)}
    assert results["single_c64"].ratio == pytest.approx(2.0)
    assert results["single_c1_p50"].ratio == pytest.approx(4.0)
    assert results["bulk_1000_arrow"].ratio == pytest.approx(2.0)
    assert {results[of].peer for of in UNITS if UNITS[of] != "ms"} == {"fast"}


def ids_in(kind: str, body: bytes) -> list[int]:
    if kind == "arrow":
        return pa.ipc.open_stream(body).read_all()["transaction_id"].to_pylist()
    content = json.loads(body)
    return [row["transaction_id"] for row in content.get("transactions", [content])]


def test_nobody_is_sent_a_transaction_twice() -> None:
    plan = replace(SMALL, rounds=2)
    workload = simulated(n_customers=1_000, n_days=10, n_coming=plan.n_coming)
    sent: list[int] = []

    def ask(kind: str, bodies: Sequence[bytes], connections: int, seconds: float) -> Load:
        sent.extend(number for body in bodies for number in ids_in(kind, body))
        return Load(np.ones(len(bodies)), 1.0)

    warm_up({OURS: ask}, workload, plan)
    for number in range(plan.rounds):
        turn(ask, payments_of(workload, plan, number), 1.0, arrow=True)
    assert sorted(sent) == workload.coming["transaction_id"].to_pylist()
