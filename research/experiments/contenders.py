"""The models that are compared: how each is trained, and where its settings are searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import torch
import xgboost
from sklearn.ensemble import RandomForestClassifier

from batch_proc.fold import Rows
from fraud_ml.model import ModelConfig
from fraud_ml.training import TrainingConfig, train_model

Scores = npt.NDArray[np.float32]
Score = Callable[[npt.NDArray[np.float32]], Scores]
Settings = Mapping[str, Any]
Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that can be trained with settings, and a space to search them in."""

    name: str
    fit: Callable[[Rows, Settings, int], Score]
    """Takes rows, settings and a seed; returns what scores features, shape (N, F)."""
    sample: Callable[[Random], Settings]
    """Settings at random."""
    start: Settings
    """What the search tries first: known to be good, no strawman."""


def fit_ours(rows: Rows, settings: Settings, seed: int) -> Score:
    """Our net; settings are fields of its two configurations."""
    shape = {field.name for field in dataclasses.fields(ModelConfig)}
    net = train_model(
        rows.features,
        rows.is_fraud,
        customers=rows.customer,
        feature_names=[f"feature_{number}" for number in range(rows.features.shape[1])],
        model_config=ModelConfig(**{k: v for k, v in settings.items() if k in shape}),
        training_config=TrainingConfig(**{k: v for k, v in settings.items() if k not in shape}),
        seed=seed,
    ).net

    def score(features: npt.NDArray[np.float32]) -> Scores:
        scored: Scores = net.score(torch.from_numpy(features)).numpy()
        return scored

    return score


def fit_random_forest(rows: Rows, settings: Settings, seed: int) -> Score:
    """scikit-learn's; settings are its own."""
    forest = RandomForestClassifier(random_state=seed, n_jobs=-1, **settings)
    forest.fit(rows.features, rows.is_fraud)
    return lambda features: forest.predict_proba(features)[:, 1].astype(np.float32)


def fit_xgboost(rows: Rows, settings: Settings, seed: int) -> Score:
    """XGBoost's classifier; settings are its own."""
    trees = xgboost.XGBClassifier(random_state=seed, base_score=0.5, **settings)
    trees.fit(rows.features, rows.is_fraud)
    return lambda features: trees.predict_proba(features)[:, 1].astype(np.float32)


def fit_lightgbm(rows: Rows, settings: Settings, seed: int) -> Score:
    """LightGBM's classifier; settings are its own."""
    trees = lightgbm.LGBMClassifier(random_state=seed, verbose=-1, subsample_freq=1, **settings)
    trees.fit(rows.features, rows.is_fraud)
    return lambda features: np.asarray(trees.predict_proba(features))[:, 1].astype(np.float32)


def _log_uniform(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _one_of(random: Random, *choices: Any) -> Any:
    return choices[random.integers(len(choices))]


def _sample_ours(random: Random) -> Settings:
    return {
        "n_members": _one_of(random, 1, 2, 4),
        "n_pieces": _one_of(random, 8, 16, 32),
        "embedding": _one_of(random, 2, 4, 8),
        "n_layers": _one_of(random, 1, 2, 3),
        "width": _one_of(random, 16, 32, 64),
        "dropout": float(random.uniform(0, 0.4)),
        "max_epochs": int(random.integers(4, 13)),
        "peak_learning_rate": _log_uniform(random, 3e-3, 5e-2),
        "weight_decay": _log_uniform(random, 1e-3, 1.0),
    }


def _sample_random_forest(random: Random) -> Settings:
    return {
        "max_depth": _one_of(random, None, 8, 12, 20),
        "min_samples_leaf": round(_log_uniform(random, 1, 50)),
        "max_features": float(random.uniform(0.1, 0.8)),
    }


def _sample_xgboost(random: Random) -> Settings:
    return {
        "tree_method": _one_of(random, "exact", "hist"),
        "n_estimators": round(_log_uniform(random, 50, 600)),
        "learning_rate": _log_uniform(random, 0.01, 0.3),
        "max_depth": int(random.integers(2, 9)),
        "min_child_weight": _log_uniform(random, 0.5, 50),
        "subsample": float(random.uniform(0.5, 1)),
        "colsample_bytree": float(random.uniform(0.3, 1)),
        "reg_lambda": _log_uniform(random, 0.1, 100),
    }


def _sample_lightgbm(random: Random) -> Settings:
    return {
        "n_estimators": round(_log_uniform(random, 50, 600)),
        "learning_rate": _log_uniform(random, 0.01, 0.3),
        "num_leaves": round(_log_uniform(random, 4, 64)),
        "min_child_samples": round(_log_uniform(random, 10, 300)),
        "subsample": float(random.uniform(0.5, 1)),
        "colsample_bytree": float(random.uniform(0.3, 1)),
        "reg_lambda": _log_uniform(random, 0.1, 100),
    }


OURS = Contender("ours", fit_ours, _sample_ours, start={})
PEERS = (
    Contender("random_forest", fit_random_forest, _sample_random_forest, start={}),
    # The Fraud Detection Handbook's best.
    Contender(
        "xgboost",
        fit_xgboost,
        _sample_xgboost,
        start={"tree_method": "exact", "max_depth": 3, "learning_rate": 0.1, "n_estimators": 100},
    ),
    Contender(
        "lightgbm",
        fit_lightgbm,
        _sample_lightgbm,
        start={
            "n_estimators": 250,
            "learning_rate": 0.03,
            "num_leaves": 16,
            "min_child_samples": 100,
            "subsample": 0.7,
            "colsample_bytree": 0.4,
            "reg_lambda": 10.0,
        },
    ),
)
CONTENDERS = (OURS, *PEERS)
