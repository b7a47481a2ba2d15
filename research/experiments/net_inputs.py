"""What the lab's networks have in common: whole customers left out, and features as inputs."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from fraud_ml.errors import DataError

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Scale = Literal["standard", "quantiles"]


def parts_of_customers(
    customer: npt.NDArray[np.integer], n_parts: int, seed: int
) -> npt.NDArray[np.int64]:
    """The part, 0 to ``n_parts`` - 1, that each row's customer is in: shape ``(N,)``.

    Whole customers, not rows, since the rows of one customer resemble each other.
    """
    ids, code = np.unique(customer, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(ids)) % n_parts)[code]


def check_parts(model: str, is_fraud: Bools, left_out: Bools) -> None:
    """Makes sure that training can be ended by who is left out.

    Args:
        model: its name, for the error.
        is_fraud: of all rows, shape ``(N,)``.
        left_out: whether a row is, shape ``(N,)``.

    Raises:
        DataError: there is no fraud among the left-out, or none among the others.
    """
    if not is_fraud[left_out].any() or not is_fraud[~left_out].any():
        raise DataError(
            f"{model} stops early by the frauds of some of the customers, and these are too few"
            f" ({is_fraud.sum()} frauds in all); train on more --train-days, or leave it out of"
            " --contenders"
        )


def fit_preparation(features: Floats, scale: Scale, seed: int) -> Pipeline:
    """Brings features on one scale: mean 0 and deviation 1, or normal numbers by their quantiles.

    A missing value is the median, and tells so in a feature beside. What lies beyond all that it
    was fitted to counts as the outermost of it, as to a tree: how long customers have been known
    grows from day to day.

    Args:
        features: to fit it to, shape ``(N, F)``, NaN where missing.
        scale: quantiles are what TabM's authors take.
        seed: of the noise that parts equal values before their quantiles are taken.
    """
    known = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        VarianceThreshold(),  # the embeddings take no feature that never varies
    )
    filled = known.fit_transform(features)
    if scale == "standard":
        within = make_pipeline(MinMaxScaler(clip=True), StandardScaler())
        return make_pipeline(known, within.fit(filled))
    quantiles = QuantileTransformer(
        n_quantiles=max(min(len(features) // 30, 1000), 10),
        output_distribution="normal",
        subsample=10**9,
        random_state=seed,
    )
    noise = np.random.default_rng(seed).normal(0, 1e-5, filled.shape)
    quantiles.fit(filled + noise)  # which parts values that are equal, as in TabM's notebook
    return make_pipeline(known, quantiles)
