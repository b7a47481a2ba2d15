"""Another version takes the place of the one that serves, and no request fails."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from load import SCORE, load_on
from payments import (
    OTHER_SPEC,
    SPEC,
    bodies_of,
    calls_of,
    publish,
    rows_of,
    scorer_at,
    scores_of,
    small_artifact,
    small_simulation,
)
from server import JSON, ask, running_server, settings_in

from data_connector import (
    AliasConflictError,
    CorruptSourceError,
    ModelNotFoundError,
    ModelStore,
    open_journal,
)
from fraud_detect.at_work import are_idle
from fraud_detect.deploy_options import DeployOptions, parse_deploy_options
from fraud_detect.deployment import Deployment
from fraud_detect.errors import ServingError
from fraud_detect.running import Running
from fraud_ml.feature_spec import ColumnFeature, ColumnKind, FeatureSpec

PAYMENTS = small_simulation().transactions
BODIES = bodies_of(PAYMENTS)
LONG = json.dumps({"transactions": (rows_of(PAYMENTS) * 20)[:9_000], "reasons": True}).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder):
    with running_server(folder, workers=2, token_auth=True) as server:
        yield server


@pytest.fixture
def running(server, folder) -> Running:
    path = str(server.folder.path)
    return Running(pid=1, folder=path, url="", settings=settings_in(folder))


@pytest.fixture
def store(folder) -> ModelStore:
    return ModelStore(folder / "models")


@pytest.fixture
def headers(server) -> dict[str, str]:
    return JSON | {"Authorization": f"Bearer {server.folder.token('inference')}"}


def deploy(running: Running, version: int, say=str) -> None:
    Deployment(running, say).deploy(version)


def test_there_and_back_under_load_without_one_failed_request(
    server, running, folder, store, headers
) -> None:
    first = server.management.default().version
    second = publish(folder / "models", small_artifact(seed=1))
    said = []
    with load_on(server.ports.inference, BODIES, headers=headers) as load:
        load.wait_for(10)
        deploy(running, second, said.append)
        load.wait_for(10)
        now = {"champion": second, "previous": int(first), "serving": second}
        assert store.aliases("fraud") == now
        Deployment(running, said.append).roll_back()
        load.wait_for(10)
    assert {reply.status for reply in load.replies} == {200}
    assert len(load.replies) == sum(map(len, load.outcomes))
    order = [[reply.json["model"]["version"] for reply in caller] for caller in load.outcomes]
    for versions in order:
        changes = [b for a, b in zip([None, *versions], versions, strict=False) if a != b]
        assert changes == [int(first), second, int(first)]
    now = {"champion": int(first), "previous": second, "serving": int(first)}
    assert store.aliases("fraud") == now
    (left,) = server.management.loaded()
    assert (left.version, left.ready, left.batch_size) == (first, 2, 32)
    assert f"version {second} serves" in said


def test_the_old_version_answers_what_it_is_at(server, running, folder, headers) -> None:
    before = server.management.default().version
    version = publish(folder / "models", small_artifact(seed=2))
    port = server.ports.inference
    long = []

    class Sending(Deployment):
        def _switch(self, version: int, champion: int | None) -> None:
            long.append(pool.submit(ask, port, SCORE, LONG, headers=headers))
            while are_idle(server.folder.at_work, before):
                assert not long[0].done()
            super()._switch(version, champion)

    with ThreadPoolExecutor(1) as pool:
        Sending(running, str).deploy(version)
    (reply,) = (one.result() for one in long)
    assert reply.status == 200
    assert reply.json["model"]["version"] == int(before)


def test_what_is_not_there_or_damaged_is_refused_and_the_old_one_serves_on(
    server, running, folder, store
) -> None:
    before = server.management.default().version
    with pytest.raises(ModelNotFoundError, match="99"):
        deploy(running, 99)
    version = publish(folder / "models", small_artifact(seed=3))
    for path in store.get("fraud", version).path.iterdir():
        path.chmod(0o600)
        path.write_bytes(b"")
    with pytest.raises(CorruptSourceError):
        deploy(running, version)
    assert [one.version for one in server.management.loaded()] == [before]


def test_a_champion_that_another_chose_meanwhile_is_not_undone(
    server, running, folder, store
) -> None:
    before = server.management.default().version
    version = publish(folder / "models", small_artifact(seed=4))

    def meddle(line: str) -> None:
        if line.startswith("loading"):
            store.set_alias("fraud", "champion", 1)

    store.set_alias("fraud", "champion", int(before))
    with pytest.raises(AliasConflictError):
        deploy(running, version, meddle)
    assert [one.version for one in server.management.loaded()] == [before]
    assert store.aliases("fraud")["champion"] == 1
    assert "next" not in store.aliases("fraud")


def test_of_two_deployments_at_once_the_second_is_refused(running, folder) -> None:
    version = publish(folder / "models", small_artifact(seed=5))
    refused = []

    def another(line: str) -> None:
        if line.startswith("loading"):
            with pytest.raises(ServingError, match="another deployment") as error:
                deploy(running, version)
            refused.append(error)

    deploy(running, version, another)
    assert refused


def test_a_deployment_that_was_broken_off_is_cleared_away_by_the_next(
    server, running, folder
) -> None:
    version = publish(folder / "models", small_artifact(seed=6))

    class Killed(BaseException):
        pass

    def break_off(line: str) -> None:
        if line == f"version {version} serves":
            raise Killed

    with pytest.raises(Killed):
        deploy(running, version, break_off)
    assert len(server.management.loaded()) == 2
    deploy(running, version - 1)
    assert [one.version for one in server.management.loaded()] == [str(version - 1)]


def test_a_version_of_other_features_takes_over_with_all_the_past(
    server, running, folder, headers
) -> None:
    artifact = small_artifact(OTHER_SPEC)
    port = server.ports.inference
    for body in BODIES[:100]:
        ask(port, SCORE, body, headers=headers)
    deploy(running, publish(folder / "models", artifact))
    replies = [ask(port, SCORE, body, headers=headers) for body in BODIES[100:150]]
    assert {reply.status for reply in replies} == {200}
    calls = calls_of(PAYMENTS.slice(100, 50))
    expected = scorer_at(settings_in(folder).feature_store, artifact).answer(calls)
    np.testing.assert_allclose(scores_of(replies), scores_of(expected), atol=1e-6)


def test_a_version_whose_history_nobody_has_is_refused(server, running, folder, tmp_path) -> None:
    before = server.management.default().version
    hour = ColumnFeature(name="hour", column="hour", kind=ColumnKind.NUMERIC)
    reads_more = FeatureSpec(features=(*SPEC.features, hour))
    with pytest.raises(ServingError, match="reads hour"):
        deploy(running, publish(folder / "models", small_artifact(reads_more)))
    url = f"sqlite:///{tmp_path / 'trimmed.db'}"
    scorer_at(url, small_artifact()).answer(calls_of(PAYMENTS.slice(0, 1)))
    with open_journal(url) as journal:
        journal.trim(1)
    trimmed = replace(running, settings=replace(running.settings, feature_store=url))
    with pytest.raises(ServingError, match="//batch:backfill"):
        deploy(trimmed, publish(folder / "models", small_artifact()))
    assert [one.version for one in server.management.loaded()] == [before]


def test_options_exclude_each_other() -> None:
    assert parse_deploy_options(["3"]) == DeployOptions(version="3")
    assert parse_deploy_options(["--rollback"]) == DeployOptions(rollback=True)
    assert parse_deploy_options(["--challenger", "4"]) == DeployOptions(challenger="4")
    for wrong in ([], ["3", "--rollback"], ["--status", "--promote"], ["--roll"]):
        with pytest.raises(SystemExit, match="2"):
            parse_deploy_options(wrong)
