"""A stored model scores what it was trained for, and nothing else."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from fraud_detect.scorer import FeatureMismatchError, Scorer
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.errors import ArtifactError
from fraud_ml.feature_spec import HANDBOOK_SPEC
from fraud_ml.model import FraudNet, ModelConfig


@pytest.fixture
def net() -> FraudNet:
    torch.manual_seed(0)
    net = FraudNet(HANDBOOK_SPEC.categories, ModelConfig()).eval()
    net.number.per_width.fill_(0.01)  # so that it looks at what it is given
    return net


@pytest.fixture
def folder(tmp_path: Path, net: FraudNet) -> Path:
    save_artifact(tmp_path, Artifact(net=net, spec=HANDBOOK_SPEC, seed=0))
    return tmp_path


@pytest.fixture
def features() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({name: rng.uniform(0, 100, 50) for name in HANDBOOK_SPEC.names})


def test_scores_are_the_networks(folder: Path, net: FraudNet, features: pa.Table) -> None:
    matrix = np.stack([column.to_numpy() for column in features.columns], axis=1)
    with torch.inference_mode():
        expected = net.score(torch.from_numpy(matrix.astype(np.float32))).numpy()
    score = Scorer.from_folder(folder).score(features)
    np.testing.assert_array_equal(score, expected)
    assert len(np.unique(score)) > 1


def test_columns_may_come_in_any_order(folder: Path, features: pa.Table) -> None:
    scorer = Scorer.from_folder(folder)
    backwards = features.select(features.column_names[::-1])
    np.testing.assert_array_equal(scorer.score(backwards), scorer.score(features))


def test_no_rows_give_no_scores(folder: Path, features: pa.Table) -> None:
    assert Scorer.from_folder(folder).score(features.slice(0, 0)).shape == (0,)


def test_a_missing_and_an_unknown_column_are_named(folder: Path, features: pa.Table) -> None:
    wrong = features.rename_columns(["balance", *features.column_names[1:]])
    with pytest.raises(FeatureMismatchError, match=r"missing=\['amount'\], unknown=\['balance'\]"):
        Scorer.from_folder(folder).score(wrong)


def test_a_null_is_refused(folder: Path, features: pa.Table) -> None:
    holes = pa.array([None] * features.num_rows, pa.float64())
    with pytest.raises(FeatureMismatchError, match="amount"):
        Scorer.from_folder(folder).score(features.set_column(0, "amount", holes))


def test_a_damaged_model_is_not_loaded(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        Scorer.from_folder(folder)
