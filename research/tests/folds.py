"""Folds in which there is something to learn, within seconds."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np

from batch_proc.fold import Fold, Rows


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
        number=np.arange(n_rows),
    )


def with_sequence(rows: Rows, n: int) -> Rows:
    """The same, with the customer's last ``n`` payments in columns after the features: made up."""
    rng = np.random.default_rng(0)
    sequence = rng.lognormal(3, 1, size=(len(rows), n, 2)).astype(np.float32)
    sequence[rng.random((len(rows), n)) < 0.2] = np.nan  # as of who has paid less often
    columns = np.hstack([rows.features, sequence.reshape(len(rows), 2 * n)])
    return replace(rows, features=columns)


FOLD = Fold(train=rows(1), test=rows(2))
