"""The benchmark measures everything that it promises, and says right who is better."""

from __future__ import annotations

import pytest
from contenders import CONTENDERS
from serving_bench import FEW, IN_PROCESS, OURS, QUICK, UNITS, Plan, measured, results_of
from workload import BULK

SMALL = Plan(
    n_customers=1_000,
    n_known_days=1,
    warm_up=0.1,
    rounds=1,
    seconds=0.2,
    n_warm_up=100,
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


def test_nobody_sees_a_transaction_twice() -> None:
    assert QUICK.n_coming == (
        QUICK.n_warm_up
        + len(FEW) * QUICK.n_bulks * BULK
        + QUICK.rounds * (QUICK.n_alone + QUICK.n_together + 2 * len(FEW) * QUICK.n_bulks * BULK)
    )
    assert set(CONTENDERS) >= {OURS, "FastAPI", "LitServe"}
