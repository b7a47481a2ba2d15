"""A new model beside the champion: on the same transactions, or not at all."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from batch_proc import champion
from batch_proc.champion import Comparison, Incomparable, NewModel, ap_difference
from batch_proc.fold import Days, Rows, make_fold
from batch_proc.history import History
from batch_proc.training_data import InMemory
from data_connector import ModelStore
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.bootstrap import bootstrap_interval
from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.feature_spec import ColumnFeature, ColumnKind, FeatureSpec
from fraud_ml.metrics import average_precision
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.simulator import Simulation

DAYS = Days(train_start=dt.date(2018, 5, 5), train=7, delay=7, test=7)
SPEC = HANDBOOK_SPEC
WITHOUT_TERMINALS = FeatureSpec(features=SPEC.features[:9])
BEFORE = "2018-05-05 to 2018-05-11"


@pytest.fixture(scope="module")
def history(simulation: Simulation) -> History:
    return History(simulation.transactions, simulation.labels)


@pytest.fixture(scope="module")
def tested(history: History) -> NewModel:
    """Scores that know much of the frauds."""
    rows = make_fold(history, DAYS, SPEC).test
    rng = np.random.default_rng(0)
    score = (rows.is_fraud * 0.5 + rng.random(len(rows)) * 0.6).astype(np.float32)
    return NewModel(data=InMemory(history, DAYS, SPEC), rows=rows, spec=SPEC, score=score)


def artifact_of(spec: FeatureSpec = SPEC, trained: str | None = BEFORE) -> Artifact:
    """A model that has learned nothing."""
    torch.manual_seed(0)
    net = FraudNet(spec.categories, ModelConfig(n_groups=2, embedding=2, width=8)).eval()
    lineage = {} if trained is None else {"train_days": trained}
    return Artifact(net=net, spec=spec, seed=0, lineage=lineage)


def compare(folder: Path, artifact: Artifact, tested: NewModel) -> Comparison | Incomparable:
    """What comes of it where ``artifact`` is the champion."""
    store = ModelStore(folder)
    store.publish("fraud", lambda version: save_artifact(version, artifact))
    store.set_alias("fraud", "champion", 1)
    found = champion.compare_with_champion(store, "fraud", tested)
    assert found is not None
    return found


def test_without_a_champion_there_is_nothing_to_compare(tmp_path: Path, tested: NewModel) -> None:
    assert champion.compare_with_champion(ModelStore(tmp_path), "fraud", tested) is None


def test_a_model_that_finds_more_is_better(tmp_path: Path, tested: NewModel) -> None:
    artifact = artifact_of()
    found = compare(tmp_path, artifact, tested)
    assert isinstance(found, Comparison)
    assert found.is_better
    assert (found.champion, found.n_rows) == (1, len(tested.rows))
    theirs = artifact.net.score(torch.from_numpy(tested.rows.features)).numpy()
    assert found.champion_ap == average_precision(tested.rows.is_fraud, theirs)
    assert found.ap == average_precision(tested.rows.is_fraud, tested.score)
    assert found.difference.estimate == pytest.approx(found.ap - found.champion_ap, abs=1e-12)


def test_a_model_is_no_better_than_itself(tmp_path: Path, tested: NewModel) -> None:
    artifact = artifact_of()
    score = artifact.net.score(torch.from_numpy(tested.rows.features)).numpy()
    found = compare(tmp_path, artifact, replace(tested, score=score))
    assert isinstance(found, Comparison)
    assert not found.is_better
    assert (found.difference.low, found.difference.high) == (0, 0)


def test_a_champion_with_other_features_gets_its_own_of_the_same_rows(
    tmp_path: Path, tested: NewModel
) -> None:
    other = artifact_of(WITHOUT_TERMINALS)
    found = compare(tmp_path, other, tested)
    assert isinstance(found, Comparison)
    rows = make_fold(tested.data.history, DAYS, other.spec).test
    theirs = other.net.score(torch.from_numpy(rows.features)).numpy()
    assert found.champion_ap == average_precision(tested.rows.is_fraud, theirs)


def test_the_difference_is_that_of_each_resample() -> None:
    rng = np.random.default_rng(0)
    n = 3_000
    is_fraud = rng.random(n) < 0.1
    a = np.round(is_fraud * 0.3 + rng.random(n), 2).astype(np.float32)  # with ties
    b = np.round(is_fraud * 0.2 + rng.random(n), 2).astype(np.float32)
    rows = Rows(
        features=np.zeros((n, 1), np.float32),
        is_fraud=is_fraud,
        customer=rng.integers(0, 200, n).astype(np.int32),
        day=np.zeros(n, np.int32),
        number=np.arange(n),
    )
    found = ap_difference(rows, a, b)
    usual = bootstrap_interval(
        lambda row, _: (
            average_precision(is_fraud[row], a[row]) - average_precision(is_fraud[row], b[row])
        ),
        rows.customer,
    )
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (usual.estimate, usual.low, usual.high), abs=1e-12
    )


@pytest.mark.parametrize(
    ("trained", "why"),
    [
        ("2018-05-13 to 2018-05-19", "it was trained on 2018-05-13 to 2018-05-19, and the test"),
        ("2018-06-01 to 2018-06-07", "it was trained on 2018-06-01 to 2018-06-07, and the test"),
        (None, "it does not say on which days it was trained"),
        ("last week", "it does not say on which days it was trained"),
    ],
)
def test_a_champion_that_may_know_the_answers_is_not_compared(
    tmp_path: Path, tested: NewModel, trained: str | None, why: str
) -> None:
    found = compare(tmp_path, artifact_of(trained=trained), tested)
    assert isinstance(found, Incomparable)
    assert found.why.startswith(why)


def test_a_champion_that_was_trained_until_the_day_before_is_compared(
    tmp_path: Path, tested: NewModel
) -> None:
    found = compare(tmp_path, artifact_of(trained="2018-05-12 to 2018-05-18"), tested)
    assert isinstance(found, Comparison)


def test_a_few_frauds_do_not_tell_two_models_apart(tmp_path: Path, tested: NewModel) -> None:
    fraud = np.flatnonzero(tested.rows.is_fraud)
    few = np.zeros(len(tested.rows), dtype=bool)
    few[fraud[:3]] = True
    rows = replace(tested.rows, is_fraud=few)
    found = compare(tmp_path, artifact_of(), replace(tested, rows=rows))
    assert isinstance(found, Incomparable)
    assert "defrauded customers, and it takes 20" in found.why


def test_a_champion_whose_columns_are_not_there_is_not_compared(
    tmp_path: Path, tested: NewModel
) -> None:
    country = ColumnFeature(name="country", column="country", kind=ColumnKind.CATEGORY)
    spec = FeatureSpec(features=(*SPEC.features, country))
    found = compare(tmp_path, artifact_of(spec), tested)
    assert isinstance(found, Incomparable)
    assert "it cannot score the test: " in found.why
    assert "'country'" in found.why
    assert found.unread == ()


def test_columns_that_the_champion_does_not_read_are_named(
    tmp_path: Path, tested: NewModel
) -> None:
    found = compare(tmp_path, artifact_of(WITHOUT_TERMINALS), tested)
    assert found.unread == ("terminal_id",)


def test_a_damaged_champion_is_not_compared(tmp_path: Path, tested: NewModel) -> None:
    store = ModelStore(tmp_path)
    store.publish("fraud", lambda version: save_artifact(version, artifact_of()))
    store.set_alias("fraud", "champion", 1)
    weights = next(tmp_path.rglob("model.safetensors"))
    weights.chmod(0o644)
    weights.write_bytes(b"damaged")
    found = champion.compare_with_champion(store, "fraud", tested)
    assert isinstance(found, Incomparable)
    assert "model.safetensors" in found.why
