"""The models that are compared: how each is trained, and where its settings are searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from batch_proc.fold import Rows
from experiments.sequence_training import LAST_PAYMENTS, SequenceConfig, train_sequence
from experiments.tabm_training import TabmConfig, train_tabm
from fraud_ml.fast_net import FastNet
from fraud_ml.feature_spec import FeatureSpec, last_transactions
from fraud_ml.model import ModelConfig
from fraud_ml.training import TrainingConfig, train_model

if TYPE_CHECKING:
    from optuna.trial import BaseTrial as Trial

Scores = npt.NDArray[np.float32]
Score = Callable[[npt.NDArray[np.float32]], Scores]
Settings = Mapping[str, Any]

_FEW = 256  # rows


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that can be trained with settings, and a space to search them in."""

    name: str
    fit: Callable[[Rows, Settings, int], Score]
    """Takes rows, settings and a seed; returns what scores features, shape (N, F)."""
    suggest: Callable[[Trial], Settings]
    """Settings that a trial of a search is to try: all of it that may vary."""
    start: Settings
    """What a search tries first, all of it: known to be good, no strawman."""
    package: str | None = None
    """What it imports when it first trains; who takes the time imports it before."""
    quick: Settings | None = field(default_factory=dict)
    """What a comparison within a minute changes of its settings; None: it is too slow for that."""
    last_payments: int = 0
    """Of the customer, that it reads as a sequence, in columns after those of the features."""


def with_last_payments(spec: FeatureSpec, n: int) -> FeatureSpec:
    """``spec``, and after its features the customer's last ``n`` payments, two columns each."""
    more = last_transactions("customer_id", n) if n else ()
    # Names of their own, since the spec may have a sequence already.
    named = [dataclasses.replace(it, name=f"sequence_{it.name}") for it in more]
    return dataclasses.replace(spec, features=(*spec.features, *named))


def fit_ours(rows: Rows, settings: Settings, seed: int) -> Score:
    """Our net, scored as it is served; settings are fields of its two configurations."""
    shape = {it.name for it in dataclasses.fields(ModelConfig)}
    net = train_model(
        rows.features,
        rows.is_fraud,
        customers=rows.customer,
        feature_names=[f"feature_{number}" for number in range(rows.features.shape[1])],
        model_config=ModelConfig(**{k: v for k, v in settings.items() if k in shape}),
        training_config=TrainingConfig(**{k: v for k, v in settings.items() if k not in shape}),
        seed=seed,
    ).net
    return FastNet(net.tables(), threads=torch.get_num_threads()).score


def fit_logistic_regression(rows: Rows, settings: Settings, seed: int) -> Score:
    """scikit-learn's, of numbers on one scale: `scale` says which, `C` is its own.

    A missing value is the median, and tells so in a feature beside.
    """
    quantiles = QuantileTransformer(output_distribution="normal", random_state=seed)
    model = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        *([quantiles] if settings["scale"] == "quantiles" else []),
        StandardScaler(),
        LogisticRegression(C=settings["C"], max_iter=1_000),
    )
    model.fit(rows.features, rows.is_fraud)
    return lambda features: model.predict_proba(features)[:, 1].astype(np.float32)


def fit_random_forest(rows: Rows, settings: Settings, seed: int) -> Score:
    """scikit-learn's; settings are its own."""
    forest = RandomForestClassifier(random_state=seed, n_jobs=-1, **settings)
    forest.fit(rows.features, rows.is_fraud)

    def score(features: npt.NDArray[np.float32]) -> Scores:
        # To start threads takes longer than a few rows do.
        forest.set_params(n_jobs=-1 if len(features) > _FEW else 1)
        return np.asarray(forest.predict_proba(features)[:, 1], dtype=np.float32)

    return score


def fit_xgboost(rows: Rows, settings: Settings, seed: int) -> Score:
    """XGBoost's classifier; settings are its own."""
    import xgboost  # who trains with another need not wait for it

    trees = xgboost.XGBClassifier(random_state=seed, base_score=0.5, **settings)
    trees.fit(rows.features, rows.is_fraud)
    return lambda features: trees.predict_proba(features)[:, 1].astype(np.float32)


def fit_lightgbm(rows: Rows, settings: Settings, seed: int) -> Score:
    """LightGBM's classifier; settings are its own."""
    import lightgbm  # who trains with another need not wait for it

    trees = lightgbm.LGBMClassifier(random_state=seed, verbose=-1, subsample_freq=1, **settings)
    trees.fit(rows.features, rows.is_fraud)
    return lambda features: np.asarray(trees.predict_proba(features))[:, 1].astype(np.float32)


def fit_catboost(rows: Rows, settings: Settings, seed: int) -> Score:
    """CatBoost's classifier; settings are its own."""
    import catboost  # who trains with another need not wait for it

    trees = catboost.CatBoostClassifier(
        random_seed=seed, verbose=False, allow_writing_files=False, **settings
    )
    trees.fit(rows.features, rows.is_fraud)
    return lambda features: np.asarray(trees.predict_proba(features))[:, 1].astype(np.float32)


def fit_tabm(rows: Rows, settings: Settings, seed: int) -> Score:
    """TabM as published; settings are fields of :class:`TabmConfig`."""
    return train_tabm(rows, TabmConfig(**settings), seed)


def fit_sequence(rows: Rows, settings: Settings, seed: int) -> Score:
    """Our model of a customer's last payments; settings are fields of :class:`SequenceConfig`."""
    return train_sequence(rows, SequenceConfig(**settings), seed)


def _suggest_ours(trial: Trial) -> Settings:
    return {
        "n_members": trial.suggest_categorical("n_members", [1, 2, 4]),
        "n_pieces": trial.suggest_categorical("n_pieces", [8, 16, 32]),
        "embedding": trial.suggest_categorical("embedding", [2, 4, 8]),
        "n_layers": trial.suggest_int("n_layers", 1, 3),
        "width": trial.suggest_categorical("width", [16, 32, 64]),
        "dropout": trial.suggest_float("dropout", 0, 0.4),
        "max_epochs": trial.suggest_int("max_epochs", 4, 12),
        "peak_learning_rate": trial.suggest_float("peak_learning_rate", 3e-3, 5e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1.0, log=True),
    }


def _suggest_random_forest(trial: Trial) -> Settings:
    return {
        "n_estimators": trial.suggest_categorical("n_estimators", [100, 200]),
        "max_depth": trial.suggest_categorical("max_depth", [None, 8, 12, 20]),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 50, log=True),
        "max_features": trial.suggest_float("max_features", 0.1, 0.8),
    }


def _suggest_xgboost(trial: Trial) -> Settings:
    return {
        "tree_method": trial.suggest_categorical("tree_method", ["exact", "hist"]),
        "n_estimators": trial.suggest_int("n_estimators", 50, 600, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "max_depth": trial.suggest_int("max_depth", 2, 8),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.5, 50, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 100, log=True),
    }


def _suggest_lightgbm(trial: Trial) -> Settings:
    return {
        "n_estimators": trial.suggest_int("n_estimators", 50, 600, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 64, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 10, 300, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 100, log=True),
    }


def _suggest_logistic_regression(trial: Trial) -> Settings:
    return {
        "scale": trial.suggest_categorical("scale", ["standard", "quantiles"]),
        "C": trial.suggest_float("C", 1e-4, 1e2, log=True),
    }


def _suggest_catboost(trial: Trial) -> Settings:
    return {
        "n_estimators": trial.suggest_int("n_estimators", 50, 1_000, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "depth": trial.suggest_int("depth", 2, 8),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.1, 100, log=True),
        "random_strength": trial.suggest_float("random_strength", 0.1, 10, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1),
        "rsm": trial.suggest_float("rsm", 0.3, 1),
    }


def _suggest_tabm(trial: Trial) -> Settings:
    # The authors' space (the paper's appendix on tuning), its widest nets left out.
    return {
        "k": trial.suggest_categorical("k", [32]),
        "n_blocks": trial.suggest_int("n_blocks", 1, 4),
        "d_block": trial.suggest_categorical("d_block", [64, 128, 256, 512]),
        "dropout": trial.suggest_float("dropout", 0, 0.5),
        "scale": trial.suggest_categorical("scale", ["standard", "quantiles"]),
        "n_bins": trial.suggest_int("n_bins", 8, 64),
        "d_embedding": trial.suggest_categorical("d_embedding", [8, 16, 32]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
        "max_epochs": trial.suggest_categorical("max_epochs", [1_000]),
    }


def _suggest_sequence(trial: Trial) -> Settings:
    return {
        "remembered": trial.suggest_categorical("remembered", [16, 32, 64]),
        "n_pieces": trial.suggest_categorical("n_pieces", [8, 16, 32]),
        "embedding": trial.suggest_categorical("embedding", [4, 8, 16]),
        "n_layers": trial.suggest_int("n_layers", 1, 3),
        "width": trial.suggest_categorical("width", [64, 128, 256]),
        "dropout": trial.suggest_float("dropout", 0, 0.4),
        "max_epochs": trial.suggest_int("max_epochs", 4, 12),
        "peak_learning_rate": trial.suggest_float("peak_learning_rate", 1e-3, 3e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1.0, log=True),
    }


_DEFAULTS = dataclasses.asdict(ModelConfig()) | dataclasses.asdict(TrainingConfig())
_VARIED = (
    *("n_members", "n_pieces", "embedding", "n_layers", "width", "dropout"),
    *("max_epochs", "peak_learning_rate", "weight_decay"),
)

OURS = Contender("ours", fit_ours, _suggest_ours, start={name: _DEFAULTS[name] for name in _VARIED})
_TABM_DEFAULTS = dataclasses.asdict(TabmConfig())
_TABM_VARIED = (
    *("k", "n_blocks", "d_block", "dropout", "scale", "n_bins", "d_embedding"),
    *("learning_rate", "weight_decay", "max_epochs"),
)
_SEQUENCE_DEFAULTS = dataclasses.asdict(SequenceConfig())
_SEQUENCE_VARIED = (
    *("remembered", "n_pieces", "embedding", "n_layers", "width", "dropout"),
    *("max_epochs", "peak_learning_rate", "weight_decay"),
)
PEERS = (
    Contender(
        "logistic_regression",
        fit_logistic_regression,
        _suggest_logistic_regression,
        start={"scale": "standard", "C": 1.0},
    ),
    Contender(
        "random_forest",
        fit_random_forest,
        _suggest_random_forest,
        # scikit-learn's is the square root of the features: of 37 of them, 0.16.
        start={
            "n_estimators": 100,
            "max_depth": None,
            "min_samples_leaf": 1,
            "max_features": 0.16,
        },
        quick={"n_estimators": 50},
    ),
    # The Fraud Detection Handbook's best.
    Contender(
        "xgboost",
        fit_xgboost,
        _suggest_xgboost,
        package="xgboost",
        start={
            "tree_method": "exact",
            "n_estimators": 100,
            "learning_rate": 0.1,
            "max_depth": 3,
            "min_child_weight": 1.0,
            "subsample": 1.0,
            "colsample_bytree": 1.0,
            "reg_lambda": 1.0,
        },
        quick={"tree_method": "hist"},
    ),
    Contender(
        "lightgbm",
        fit_lightgbm,
        _suggest_lightgbm,
        package="lightgbm",
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
    Contender(
        "catboost",
        fit_catboost,
        _suggest_catboost,
        package="catboost",
        # CatBoost's, with the learning rate that it chooses for a week of the handbook's rows, and
        # 300 of its 1,000 trees: with all, AP of the handbook's validation folds is .734, not .747.
        start={
            "n_estimators": 300,
            "learning_rate": 0.06,
            "depth": 6,
            "l2_leaf_reg": 3.0,
            "random_strength": 1.0,
            "subsample": 0.8,
            "rsm": 1.0,
        },
    ),
    Contender(
        "tabm",
        fit_tabm,
        _suggest_tabm,
        start={name: _TABM_DEFAULTS[name] for name in _TABM_VARIED},
        quick=None,
    ),
    Contender(
        "sequence",
        fit_sequence,
        _suggest_sequence,
        start={name: _SEQUENCE_DEFAULTS[name] for name in _SEQUENCE_VARIED},
        quick=None,
        last_payments=LAST_PAYMENTS,
    ),
)
CONTENDERS = (OURS, *PEERS)
