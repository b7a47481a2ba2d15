"""A model for the benchmarks: the net that `//batch:train` makes, after one epoch on few rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from simulated_history import labels_of, write_history

from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.policy import CapacityPolicy
from fraud_ml.training import TrainingConfig, train_model

ROWS = 10_000


def store_bench_model(folder: Path, spec: FeatureSpec) -> Path:
    """The artifact's folder, in `folder`: it scores as fast as a model that was trained longer.

    It reviews one payment in a hundred, and declines one in a thousand.
    """
    (file,) = write_history(folder, ROWS, n_days=60)
    rows = pq.read_table(file)
    file.unlink()
    features = feature_matrix(compute_features(rows, labels_of(rows, spec), spec))
    trained = train_model(
        features,
        rows["is_fraud"].to_numpy(),
        customers=rows["customer_id"].to_numpy(),
        feature_names=spec.names,
        categories=spec.categories,
        training_config=TrainingConfig(max_epochs=1),
    )
    with torch.inference_mode():
        scores = trained.net.score(torch.from_numpy(features)).numpy()
    review, decline = np.quantile(scores.astype(np.float64), [0.99, 0.999])
    artifact = Artifact(
        net=trained.net,
        spec=spec,
        seed=0,
        policy=CapacityPolicy(review_above=float(review), decline_above=float(decline)),
    )
    stored = folder / f"model-of-{len(spec.names)}"
    stored.mkdir()
    save_artifact(stored, artifact)
    return stored
