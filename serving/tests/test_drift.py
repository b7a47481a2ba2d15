"""The last hour's scores and features, measured against training."""

import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
from payments import SPEC, rows_of, small_artifact, small_simulation
from server import ask, metrics_when, running_server

from fraud_detect.drift import _AT_ONCE, LEAST_ROWS, Drift
from fraud_detect.scored_batch import ScoredBatch
from fraud_ml.distribution import Reference, fit_reference, psi

RNG = np.random.default_rng(0)
NAMES = ("amount", "is_night", "rate")


def rows_like_training(n_rows: int) -> np.ndarray:
    """A number, a flag, and a number that is often missing."""
    rate = np.where(RNG.random(n_rows) < 0.3, np.nan, RNG.random(n_rows))
    columns = [RNG.exponential(50, n_rows), RNG.random(n_rows) < 0.2, rate]
    return np.stack(columns, axis=1).astype(np.float32)


def scores_like_training(n_rows: int) -> np.ndarray:
    return RNG.beta(1, 20, n_rows).astype(np.float32)


REFERENCE = fit_reference(rows_like_training(20_000), scores_like_training(20_000), NAMES)


class Clock:
    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drift(clock) -> Drift:
    return Drift(REFERENCE, clock=clock)


def see(drift: Drift, features: np.ndarray, scores: np.ndarray, batch: int = 32) -> None:
    for start in range(0, len(scores), batch):
        part = slice(start, start + batch)
        drift(ScoredBatch({}, features[part], scores[part], (), degraded=False))


def expected(reference: Reference, features: np.ndarray, scores: np.ndarray) -> list[float]:
    columns = zip(reference.features.values(), features.T, strict=True)
    return [
        psi(reference.score, reference.score.count(scores)),
        *(psi(each, each.count(column)) for each, column in columns),
    ]


@pytest.mark.parametrize("batch", [1, 32, _AT_ONCE - 1, _AT_ONCE, 10_000])
def test_it_is_the_index_of_all_that_was_seen(drift, batch) -> None:
    features, scores = rows_like_training(5_000), scores_like_training(5_000)
    features[:, 0] += 40
    see(drift, features, scores, batch)
    n_rows, of_score, of_features = drift.measure()
    assert n_rows == 5_000
    found = [of_score, *of_features.values()]
    np.testing.assert_allclose(found, expected(REFERENCE, features, scores), rtol=1e-9)
    assert tuple(of_features) == NAMES
    assert of_features["amount"] > 1
    assert max(of_score, of_features["is_night"], of_features["rate"]) < 0.1


def test_an_hour_later_it_is_forgotten(drift, clock) -> None:
    odd, usual = rows_like_training(2_000) + 100, rows_like_training(2_000)
    scores = scores_like_training(2_000)
    see(drift, odd, scores)
    clock.now += 59 * 60
    see(drift, usual, scores)
    assert drift.measure()[0] == 4_000
    clock.now += 60
    n_rows, _, of_features = drift.measure()
    assert n_rows == 2_000
    assert of_features["amount"] < 0.1
    clock.now += 10 * 3600
    assert drift.measure()[0] == 0


def test_no_row_of_a_caller_is_kept(drift) -> None:
    features, scores = rows_like_training(2_000), scores_like_training(2_000)
    kept = weakref.ref(features)
    see(drift, features, scores)
    features[:] = 1e9  # theirs to change
    del features
    assert kept() is None
    n_rows, _, of_features = drift.measure()
    assert n_rows == 2_000
    assert of_features["amount"] < 0.1


def test_few_rows_say_nothing(drift) -> None:
    see(drift, rows_like_training(LEAST_ROWS - 1) + 100, scores_like_training(LEAST_ROWS - 1))
    n_rows, of_score, of_features = drift.measure()
    assert n_rows == LEAST_ROWS - 1
    assert {of_score, *of_features.values()} == {0.0}


def test_torchserve_tells_it(tmp_path) -> None:
    some = small_simulation(n_days=15, n_customers=120).transactions.slice(0, 1_200)
    n_features = len(SPEC.names)
    low = fit_reference(np.zeros((9, n_features), np.float32), np.full(9, 0.001), SPEC.names)
    artifact = replace(small_artifact(), reference=low)
    with running_server(tmp_path, artifact=artifact) as server:
        body = json.dumps({"transactions": rows_of(some)}).encode()
        reply = ask(server.ports.inference, "/predictions/fraud", body)
        # TorchServe takes them in one by one.
        found = metrics_when(
            server.ports.metrics,
            lambda found: (
                list(found["fraud_drift_rows"].values()) == [1_200]
                and found["fraud_score_psi"]
                and len(found["fraud_feature_psi"]) == n_features
            ),
        )
    scores = np.float32([row["score"] for row in reply.json["transactions"]])
    of_score = psi(low.score, low.score.count(scores))
    assert of_score > 1
    ((version, worker),) = found["fraud_score_psi"]
    assert version == "1"
    assert found["fraud_score_psi"]["1", worker] == pytest.approx(of_score)
    assert {name for *_, name in found["fraud_feature_psi"]} == set(SPEC.names)
    assert found["fraud_feature_psi"]["1", worker, "amount"] > 1
