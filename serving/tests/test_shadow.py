"""A challenger scores what the champion answers, and nobody waits for it."""

import threading

import numpy as np
import pytest
from load import SCORE
from payments import (
    OTHER_SPEC,
    SPEC,
    bodies_of,
    calls_of,
    publish,
    scorer_at,
    scores_of,
    small_artifact,
    small_simulation,
)
from server import ask, running_server, settings_in

from data_connector import ModelStore, fetch
from fraud_detect import shadow
from fraud_detect.deployment import Deployment
from fraud_detect.errors import ServingError
from fraud_detect.running import Running
from fraud_detect.shadow import WAITING, Shadow
from fraud_detect.shadow_table import Comparison, compare
from fraud_detect.worker_settings import WorkerSettings
from fraud_ml.feature_spec import ColumnFeature, ColumnKind, FeatureSpec

PAYMENTS = small_simulation().transactions
CALLS = calls_of(PAYMENTS)


@pytest.fixture
def settings(tmp_path) -> WorkerSettings:
    """Of a store with a champion and two challengers, of which the second has other features."""
    for artifact in (small_artifact(), small_artifact(seed=1), small_artifact(OTHER_SPEC, seed=2)):
        publish(tmp_path / "models", artifact)
    return settings_in(tmp_path)


def challenge(settings: WorkerSettings, version: int | None) -> None:
    ModelStore(settings.model_store).set_alias("fraud", "challenger", version)


def shadowed(settings: WorkerSettings, champion: Shadow, calls) -> np.ndarray:
    """The champion's scores of calls, one by one, the shadow watching."""
    scorer = scorer_at(settings.feature_store, small_artifact())
    scorer.watchers.append(champion)
    found = scores_of([scorer.answer([call])[0] for call in calls])
    champion.close()
    return found


def shadow_of(settings: WorkerSettings) -> Shadow:
    """A shadow that has found its challenger, if there is one."""
    found = Shadow(settings, version=1, spec=SPEC)
    while found.looks == 0:
        threading.Event().wait(0.01)
    return found


@pytest.mark.parametrize(("version", "spec"), [(2, SPEC), (3, OTHER_SPEC)])
def test_both_scores_are_kept_as_each_would_give_them(settings, tmp_path, version, spec) -> None:
    challenge(settings, version)
    mine = shadowed(settings, shadow_of(settings), CALLS[:150])
    challenger = scorer_at(
        f"sqlite:///{tmp_path / 'alone.db'}", small_artifact(spec, seed=version - 1)
    )
    theirs = scores_of([challenger.answer([call])[0] for call in CALLS[:150]])
    rows = fetch(settings.shadow_log, table="shadow").read_all().to_pylist()
    ids = [str(name) for name in PAYMENTS["transaction_id"][:150].to_pylist()]
    assert [row["transaction_id"] for row in rows] == ids
    np.testing.assert_allclose([row["champion_score"] for row in rows], mine, atol=1e-6)
    np.testing.assert_allclose([row["challenger_score"] for row in rows], theirs, atol=1e-6)
    others = [row["champion_decision"] != row["challenger_decision"] for row in rows]
    found = compare(settings.shadow_log, 1, version)
    assert (found.compared, found.missed) == (150, 0)
    assert found.difference == pytest.approx(np.mean(theirs - mine), abs=1e-6)
    assert found.other_decisions == pytest.approx(np.mean(others))
    assert np.mean(others) > 0


def test_without_a_challenger_nothing_is_written(settings) -> None:
    shadowed(settings, shadow_of(settings), CALLS[:5])
    challenge(settings, 1)  # itself
    shadowed(settings, shadow_of(settings), CALLS[:5])
    assert compare(settings.shadow_log, 1, 2) == Comparison(
        compared=0, missed=0, difference=0, other_decisions=0
    )


def test_a_payment_does_not_wait_for_a_slow_challenger_and_what_it_misses_is_counted(
    settings, monkeypatch
) -> None:
    go_on = threading.Event()
    usual = shadow._Challenger.compare

    def slow(challenger, batch):
        go_on.wait()
        return usual(challenger, batch)

    monkeypatch.setattr(shadow._Challenger, "compare", slow)
    challenge(settings, 2)
    champion = shadow_of(settings)
    scorer = scorer_at(settings.feature_store, small_artifact())
    scorer.watchers.append(champion)
    calls = (CALLS * 2)[: WAITING + 50]
    assert all(scorer.answer([call])[0].status == 200 for call in calls)
    go_on.set()
    champion.close()
    found = compare(settings.shadow_log, 1, 2)
    assert found.compared + found.missed == len(calls)
    assert 49 <= found.missed <= 50  # one is at work


def test_a_challenger_that_cannot_be_loaded_is_told_and_payments_go_on(settings, caplog) -> None:
    challenge(settings, 2)
    for path in ModelStore(settings.model_store).get("fraud", 2).path.iterdir():
        path.chmod(0o600)
        path.write_bytes(b"")
    assert len(shadowed(settings, shadow_of(settings), CALLS[:5])) == 5
    assert "no challenger scores" in caplog.text


def test_a_challenger_is_found_compared_and_promoted_without_a_restart(tmp_path) -> None:
    settings = settings_in(tmp_path)
    with running_server(tmp_path) as server:
        publish(tmp_path / "models", small_artifact(seed=1))
        hour = ColumnFeature(name="hour", column="hour", kind=ColumnKind.NUMERIC)
        more = FeatureSpec(features=(*SPEC.features, hour))
        publish(tmp_path / "models", small_artifact(more))
        said = []
        running = Running(pid=1, folder=str(server.folder.path), url="", settings=settings)
        deployment = Deployment(running, said.append)
        with pytest.raises(ServingError, match="no challenger to promote"):
            deployment.promote()
        with pytest.raises(ServingError, match="reads hour"):
            deployment.challenge(3)
        deployment.challenge(2)
        bodies = iter(bodies_of(PAYMENTS))
        while not compare(settings.shadow_log, 1, 2).compared:
            reply = ask(server.ports.inference, SCORE, next(bodies))
            assert reply.json["model"]["version"] == 1
            threading.Event().wait(0.02)
        status = "\n".join(deployment.status())
        assert "serving: version 1" in status
        assert "challenger: 2" in status
        assert "mean difference" in status
        deployment.promote()
        assert ask(server.ports.inference, SCORE, next(bodies)).json["model"]["version"] == 2
        now = {"champion": 2, "previous": 1, "serving": 2}
        assert deployment.store.aliases("fraud") == now
