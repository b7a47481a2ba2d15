"""A model on its way to a worker, and its scores there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from batch_proc.errors import SparkError
from batch_proc.scoring import NO_DECISION, PackedModel, Scorer, loaded_scorer, pack_model
from fraud_ml.artifact import Artifact, load_artifact, save_artifact
from fraud_ml.feature_spec import FeatureSpec, RowFeature, RowValue
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.policy import CapacityPolicy

SPEC = FeatureSpec(features=tuple(RowFeature(name=value.value, value=value) for value in RowValue))
POLICY = CapacityPolicy(review_above=0.4, decline_above=0.6)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    torch.manual_seed(0)
    net = FraudNet(SPEC.categories, ModelConfig(n_groups=2, width=8)).eval()
    with torch.no_grad():
        net.number.per_width.fill_(0.5)
        net.last.weight.mul_(50)
    return Artifact(net=net, spec=SPEC, seed=0, policy=POLICY)


def packed(folder: Path, artifact: Artifact) -> PackedModel:
    folder.mkdir()
    save_artifact(folder, artifact)
    return pack_model(load_artifact(folder))


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(1, 2, (n, len(SPEC.names))).astype(np.float32)


def test_scores_are_the_nets(tmp_path: Path, artifact: Artifact) -> None:
    scorer = Scorer(packed(tmp_path / "model", artifact))
    features = rows(500)
    with torch.inference_mode():
        expected = artifact.net.score(torch.from_numpy(features)).numpy()
    scores = scorer.score(features)
    assert expected.std() > 0.01
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    decisions = scorer.decide(scores, np.ones(len(scores)))
    np.testing.assert_array_equal(decisions, (scores > 0.4).astype(int) + (scores > 0.6))
    assert len(scorer.score(features[:0])) == 0


def test_without_a_policy_there_is_no_decision(tmp_path: Path, artifact: Artifact) -> None:
    scorer = Scorer(packed(tmp_path / "model", dataclasses.replace(artifact, policy=None)))
    decisions = scorer.decide(np.float32([0.1, 0.9]), np.ones(2))
    assert decisions.tolist() == [NO_DECISION] * 2


def test_the_same_model_is_the_same_bytes(tmp_path: Path, artifact: Artifact) -> None:
    one, other = (packed(tmp_path / name, artifact) for name in "ab")
    assert one == other


def test_damaged_bytes_do_not_score(tmp_path: Path, artifact: Artifact) -> None:
    model = packed(tmp_path / "model", artifact)
    damaged = bytearray(model.content)
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(SparkError, match="checksum"):
        Scorer(PackedModel(bytes(damaged), model.checksum))


def test_a_worker_loads_a_model_once(tmp_path: Path, artifact: Artifact) -> None:
    model = packed(tmp_path / "model", artifact)
    asked = []

    def give() -> PackedModel:
        asked.append(1)
        return model

    assert loaded_scorer(give, model.checksum) is loaded_scorer(give, model.checksum)
    assert len(asked) == 1
