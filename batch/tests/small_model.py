"""A model that was trained for a moment, its history, and what it makes of all of that at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from fraud_ml.artifact import Artifact, load_artifact, save_artifact
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.policy import CapacityPolicy, Decision
from fraud_ml.scenario import Population, Scenario
from fraud_ml.training import TrainingConfig, train_model

FEW = Scenario(
    n_days=45, seed=3, population=Population(n_customers=120, n_terminals=300, radius=15)
)


def train_moment(folder: Path, transactions: pa.Table, labels: pa.Table, spec: FeatureSpec) -> Path:
    """An artifact of a model after one epoch, which reviews a tenth and declines a hundredth."""
    features = feature_matrix(compute_features(transactions, labels, spec))
    customer = transactions.column("customer_id").combine_chunks().dictionary_encode().indices
    model = train_model(
        features,
        labels.column("is_fraud").fill_null(fill_value=False).to_numpy(),
        customers=customer.to_numpy(),
        feature_names=spec.names,
        categories=spec.categories,
        training_config=TrainingConfig(max_epochs=1),
        seed=0,
    )
    with torch.inference_mode():
        score = model.net.score(torch.from_numpy(features)).numpy()
    review, decline = np.quantile(score.astype(np.float64), [0.9, 0.99])
    artifact = Artifact(
        net=model.net,
        spec=spec,
        seed=0,
        policy=CapacityPolicy(review_above=float(review), decline_above=float(decline)),
    )
    folder.mkdir()
    save_artifact(folder, artifact)
    return folder


def scores_at_once(model: Path, transactions: pa.Table, labels: pa.Table) -> pa.Table:
    """What engine 1 and the model say of a whole history, row by row with the transactions."""
    artifact = load_artifact(model)
    features = feature_matrix(compute_features(transactions, labels, artifact.spec))
    with torch.inference_mode():
        score = artifact.net.score(torch.from_numpy(features)).numpy()
    amount = transactions.column("amount").to_numpy()
    assert artifact.policy is not None
    decision = artifact.policy.decide(score.astype(np.float64), amount)
    names = [Decision(number).name.lower() for number in decision]
    there = transactions.select(["transaction_id", "timestamp", "customer_id", "amount"])
    return there.append_column("score", pa.array(score)).append_column("decision", pa.array(names))


def read_days(output: Path) -> pa.Table:
    """All rows of an output, in order of its days."""
    return pa.concat_tables(
        [pq.ParquetFile(path).read() for path in sorted(output.glob("day=*/scores.parquet"))]
    )


def assert_same_scores(found: pa.Table, expected: pa.Table) -> None:
    """The same rows in the same order, and scores and decisions but for a float's rounding."""
    assert found.num_rows == expected.num_rows
    for name in ("transaction_id", "timestamp", "customer_id", "amount"):
        assert found.column(name).to_pylist() == expected.column(name).to_pylist()
    score, there = (it.column("score").to_numpy() for it in (found, expected))
    np.testing.assert_allclose(score, there, rtol=2e-5, atol=1e-7)
    same = pa.compute.equal(found.column("decision"), expected.column("decision")).to_numpy()
    assert same.mean() > 0.999  # a score just at a threshold may fall to either side


def bytes_below(folder: Path) -> Mapping[str, bytes]:
    """All files, by their path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def numbers_of(measures: Sequence[Any]) -> dict[str, float]:
    """The numbers of a run by name."""
    return {it.name: it.value for it in measures}
