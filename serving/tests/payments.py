"""Simulated payments as a caller sends them, and a small model to score them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from data_connector import ModelStore, open_journal
from fraud_detect.online_state import OnlineState
from fraud_detect.scorer import Call, Scorer
from fraud_detect.snapshots import Snapshots
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.default_specs import handbook_spec
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.policy import CapacityPolicy
from fraud_ml.scenario import Labelling, Population, Scenario
from fraud_ml.simulator import Simulation, simulate

SPEC = handbook_spec(label_delay=dt.timedelta(days=2))
"""Fifteen features, and a label delay that fits into a few days."""

OTHER_SPEC = handbook_spec(label_delay=dt.timedelta(days=1))
"""Other features of the same columns."""


def small_simulation(n_days: int = 6, n_customers: int = 60) -> Simulation:
    """Some hundred payments."""
    return simulate(
        Scenario(
            n_days=n_days,
            labels=Labelling(delay_days=2),
            population=Population(n_customers=n_customers, n_terminals=80),
        )
    )


def small_artifact(spec: FeatureSpec = SPEC, *, seed: int = 0) -> Artifact:
    """A net that was not trained, but looks at every feature."""
    torch.manual_seed(seed)
    net = FraudNet(spec.categories, ModelConfig(width=8, n_layers=1)).eval()
    net.number.per_width.fill_(0.01)
    policy = CapacityPolicy(review_above=0.502, decline_above=0.506)
    return Artifact(net=net, spec=spec, seed=seed, policy=policy)


def publish(models: Path | str, artifact: Artifact) -> int:
    """The version under which ``artifact`` is stored."""
    stored = ModelStore(models).publish("fraud", lambda folder: save_artifact(folder, artifact))
    return stored.version


def state_at(url: str, spec: FeatureSpec = SPEC) -> OnlineState:
    """The online state in the feature store at ``url``."""
    return OnlineState(open_journal(url), Snapshots(url, spec))


def scorer_at(url: str, artifact: Artifact) -> Scorer:
    """A scorer on the state at ``url``."""
    return Scorer(artifact, state_at(url, artifact.spec), name="fraud", version=1)


def rows_of(transactions: pa.Table) -> list[dict[str, Any]]:
    """Each transaction as a caller would send it, its time in microseconds."""
    at = transactions.column_names.index("timestamp")
    plain = transactions.set_column(at, "timestamp", transactions["timestamp"].cast(pa.int64()))
    return plain.to_pylist()


def bodies_of(transactions: pa.Table) -> list[bytes]:
    """A request for each transaction."""
    return [json.dumps(row).encode() for row in rows_of(transactions)]


def calls_of(transactions: pa.Table) -> list[Call]:
    """A call for each transaction."""
    return [Call(body) for body in bodies_of(transactions)]


def scores_of(answers: Sequence[Any]) -> np.ndarray:
    """The scores in answers to single transactions."""
    return np.array([json.loads(answer.body)["score"] for answer in answers])
