"""The comparison gives every model the same rows, and reports what each reached."""

import datetime as dt

import numpy as np
import pytest

from batch_proc.fold import Fold, Rows
from experiments.compare import MODELS, compare


def rows(seed: int, n_rows: int = 2_000) -> Rows:
    """Transactions in which the first feature tells most frauds."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(n_rows) < 0.1
    features = rng.normal(size=(n_rows, 3)).astype(np.float32)
    features[is_fraud, 0] += 3
    return Rows(
        features=features,
        is_fraud=is_fraud,
        customer=rng.integers(0, 500, n_rows).astype(np.int32),
        day=(rng.integers(0, 7, n_rows) + dt.date(2018, 8, 8).toordinal()).astype(np.int32),
    )


@pytest.fixture(scope="module")
def compared() -> dict[str, dict[str, float]]:
    fold = Fold(train=rows(1), test=rows(2))
    return {
        name: {measure.name: measure.value for measure in measures}
        for name, measures in compare(fold, seed=0)
    }


def test_every_model_is_there(compared: dict[str, dict[str, float]]) -> None:
    assert list(compared) == list(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_what_is_to_be_learnt(
    compared: dict[str, dict[str, float]], model: str
) -> None:
    assert compared[model]["auc"] > 0.95
    assert compared[model]["ap"] > 0.8
    assert compared[model]["train"] > 0
