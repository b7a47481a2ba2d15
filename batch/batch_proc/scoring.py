"""A model on its way to Spark's workers, and what it makes of features there."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from batch_proc.errors import SparkError
from fraud_ml.fast_net import FastNet
from fraud_ml.net_tables import NetTables
from fraud_ml.policy import Decision, DecisionPolicy

if TYPE_CHECKING:
    from fraud_ml.artifact import Artifact  # brings torch, which a worker can do without

Features = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]

NO_DECISION = -1
DECISIONS: Mapping[int, str] = {decision.value: decision.name.lower() for decision in Decision}

_POLICY, _TABLES = "policy.json", "net.safetensors"


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model as bytes that any Python worker can load."""

    content: bytes
    checksum: str
    """SHA-256 of the content, in hex."""


def pack_model(artifact: Artifact) -> PackedModel:
    """The model for workers, which need no torch to load it: the same model, the same bytes."""
    policy = None if artifact.policy is None else artifact.policy.to_json()
    files = {_POLICY: json.dumps(policy).encode(), _TABLES: artifact.net.tables().to_bytes()}
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980
    content = sink.getvalue()
    return PackedModel(content, hashlib.sha256(content).hexdigest())


class Scorer:
    """A model that scores and decides."""

    def __init__(self, packed: PackedModel) -> None:
        """Loads it.

        Raises:
            SparkError: the bytes are not those that were packed.
        """
        if hashlib.sha256(packed.content).hexdigest() != packed.checksum:
            raise SparkError(
                "the model was damaged on its way to this worker: its checksum differs; run again"
            )
        with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
            policy = json.loads(archive.read(_POLICY))
            self._policy = None if policy is None else DecisionPolicy.from_json(policy)
            self._net = FastNet(NetTables.from_bytes(archive.read(_TABLES)))

    def score(self, features: Features) -> Scores:
        """Probabilities of fraud, of features of shape ``(N, F)``: shape ``(N,)``."""
        return self._net.score(features)

    def decide(self, scores: Scores, amounts: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
        """A :class:`~fraud_ml.policy.Decision` each, or :data:`NO_DECISION` without a policy."""
        if self._policy is None:
            return np.full(len(scores), NO_DECISION, dtype=np.int8)
        return self._policy.decide(scores.astype(np.float64), amounts)


_loaded: dict[str, Scorer] = {}


def loaded_scorer(packed: Callable[[], PackedModel], checksum: str) -> Scorer:
    """The scorer of a model, loaded once a worker, which scores one bucket after the other.

    Args:
        packed: gives the model, asked only where it is not loaded yet.
        checksum: of it.
    """
    if checksum not in _loaded:
        _loaded.clear()
        _loaded[checksum] = Scorer(packed())
    return _loaded[checksum]
