"""Every server that is compared gives the same payments the same scores as the scorer itself."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contenders import CONTENDERS, Contender, Ground
from workload import BULK, Workload, count_the_past, published_model, simulated

from data_connector import StoredModel
from fraud_detect.scorer import Call
from fraud_detect.worker_settings import WorkerSettings

N_SINGLES = 20
N_COMING = N_SINGLES + BULK


@pytest.fixture(scope="module")
def workload() -> Workload:
    return simulated(n_customers=200, n_days=8, n_coming=N_COMING)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(models: Path) -> StoredModel:
    return published_model(models)


@pytest.fixture
def store(tmp_path: Path, workload: Workload) -> str:
    url = f"sqlite:///{tmp_path / 'features.db'}"
    count_the_past(url, workload)
    return url


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, workload: Workload, models: Path, model: StoredModel
) -> np.ndarray:
    url = f"sqlite:///{tmp_path_factory.mktemp('expected') / 'features.db'}"
    count_the_past(url, workload)
    settings = WorkerSettings(model_store=str(models), feature_store=url)
    scorer = settings.scorer(str(model.version))
    bodies = [*workload.singles(0, N_SINGLES), *workload.bulks(N_SINGLES, 1)]
    answers = [scorer.answer([Call(body)])[0].body for body in bodies]
    return np.concatenate([scores_in(answer) for answer in answers])


def scores_in(answer: bytes) -> list[float]:
    content = json.loads(answer)
    return [row["score"] for row in content.get("transactions", [content])]


def answers_of(contender: Contender, workload: Workload) -> Iterator[bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=60)
    for path, bodies in (
        (contender.single, workload.singles(0, N_SINGLES)),
        (contender.bulk, workload.bulks(N_SINGLES, 1)),
    ):
        for body in bodies:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200
            yield answer.read()
    connection.close()


@pytest.mark.parametrize("name", CONTENDERS)
def test_everyone_gives_the_scores_of_the_scorer(
    tmp_path: Path,
    workload: Workload,
    models: Path,
    model: StoredModel,
    store: str,
    expected: np.ndarray,
    name: str,
) -> None:
    with CONTENDERS[name](Ground(model, models, store, tmp_path)) as contender:
        answers = list(answers_of(contender, workload))
    found = np.concatenate([scores_in(answer) for answer in answers])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(np.unique(expected)) > N_COMING / 2  # they tell payments apart
