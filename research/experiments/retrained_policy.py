"""A policy in a simulated world: it sees each day's payments, and labels when they are out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch_proc.fold import Rows
from experiments.contenders import Score
from experiments.robustness import fit_rows, reviewed
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.policy import Decision, Decisions
from fraud_ml.simulator import Day

HISTORY = 45  # days that features look at: all but one of their windows, and a delay


@dataclass(slots=True)
class RetrainedPolicy:
    """Declines the highest scores of each day, by a model that is retrained each week."""

    parameters: Mapping[str, Any]
    """Of the study: how much is trained on, and with what."""
    delay: int
    """Days until labels are known."""
    share: float
    """Of each day's payments, declined."""
    seed: int
    first: int
    """The first day on which it declines."""
    days: list[Day] = field(default_factory=list)
    """Simulated so far."""
    features: list[npt.NDArray[np.float32]] = field(default_factory=list)
    """Of the payments of each day, as they were known on it."""
    declined: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    score: Score | None = None

    def decide(self, _: pa.Table) -> Decisions:
        """Decisions on the payments of the last of ``days``; no label counts before it is out."""
        day, train = len(self.days) - 1, self.parameters["train_days"]
        n_rows = self.days[-1].transactions.num_rows
        declined = np.zeros(n_rows, dtype=bool)
        needed = day >= self.first - self.delay - train
        self.features.append(self._features(n_rows) if needed else np.empty((0, 0), np.float32))
        if day >= self.first:
            if self.score is None or (day - self.first) % 7 == 0:
                self.score = fit_rows(
                    self._labelled(day - self.delay - train, day - self.delay),
                    self.parameters,
                    self.seed,
                )
            score = self.score(self.features[-1])
            declined = reviewed(np.full(n_rows, day), score, self.share)
        self.declined.append(declined)
        return np.where(declined, Decision.DECLINE, Decision.APPROVE).astype(np.int8)

    def _features(self, n_rows: int) -> npt.NDArray[np.float32]:
        seen = self.days[-HISTORY:]
        features = compute_features(
            pa.concat_tables([it.transactions for it in seen]),
            pa.concat_tables([it.labels for it in seen]),
            DEFAULT_SPEC,
        )
        return feature_matrix(features.slice(features.num_rows - n_rows))

    def _labelled(self, first: int, end: int) -> Rows:
        """The rows of these days, whose labels are all out."""
        days = self.days[first:end]
        customer = [it.transactions["customer_id"].to_numpy() for it in days]
        return Rows(
            features=np.concatenate(self.features[first:end]),
            is_fraud=np.concatenate([it.labels["is_fraud"].to_numpy() for it in days]),
            customer=np.concatenate(customer).astype(np.int32),
            day=np.repeat(np.arange(first, end), [len(it) for it in customer]).astype(np.int32),
            number=np.concatenate([it.truth["transaction_id"].to_numpy() for it in days]),
        )
