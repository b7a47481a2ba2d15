"""What the peers' servers have in common: the stored model, and the same state of its features.

The state is ours, because without one there is no score to compare. Everything else is as people
write it who have a PyTorch model: dictionaries in, `torch`, dictionaries out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_connector import open_journal
from fraud_detect.online_state import OnlineState
from fraud_detect.snapshots import Snapshots
from fraud_ml.artifact import load_artifact
from fraud_ml.policy import Decision

MODEL = "PEER_MODEL"
"""The variable with the artifact's folder."""
STORE = "PEER_STORE"
"""The variable with the feature store's URL."""
COLUMNS = ("transaction_id", "timestamp", "customer_id", "terminal_id", "amount")

_DECISIONS = {int(decision): decision.name.lower() for decision in Decision}


class PlainModel:
    """A model with the state of its features."""

    def __init__(self) -> None:
        """Loads what the environment names."""
        # The default, a thread a core, gains nothing for a net this small. Where workers share the
        # cores, each operation then waits for a thread that does not run: without this line,
        # TorchServe with its default of two workers is several times slower.
        torch.set_num_threads(1)
        artifact = load_artifact(Path(os.environ[MODEL]))
        url = os.environ[STORE]
        self._state = OnlineState(open_journal(url), Snapshots(url, artifact.spec))
        self._net = artifact.net
        self._policy = artifact.policy
        self._version = {"name": "fraud", "version": 1}

    def features(self, transactions: Sequence[Mapping[str, Any]]) -> Tensor:
        """Of transactions, which count from now on: shape ``(B, F)``."""
        columns = {name: [row[name] for row in transactions] for name in COLUMNS}
        return torch.from_numpy(self._state.count(columns).rows.astype(np.float32))

    def score(self, features: Tensor) -> Tensor:
        """The probabilities of fraud: shape ``(B,)``."""
        return self._net.score(features)

    def answers(
        self, transactions: Sequence[Mapping[str, Any]], scores: Tensor
    ) -> list[dict[str, Any]]:
        """What each transaction is answered, to be written as JSON."""
        amounts = np.array([row["amount"] for row in transactions])
        assert self._policy is not None  # noqa: S101 - the benchmark's model has one
        decisions = self._policy.decide(scores.numpy().astype(np.float64), amounts)
        return [
            {
                "transaction_id": row["transaction_id"],
                "score": score,
                "decision": _DECISIONS[decision],
                "model": self._version,
            }
            for row, score, decision in zip(
                transactions, scores.tolist(), decisions.tolist(), strict=True
            )
        ]

    def predict(self, transactions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answers to transactions, which count from now on."""
        return self.answers(transactions, self.score(self.features(transactions)))
