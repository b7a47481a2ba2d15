"""A model on its way to Spark's workers, and what it makes of features there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from batch_proc.errors import SparkError
from fraud_ml.policy import Decision, DecisionPolicy

if TYPE_CHECKING:
    from fraud_ml.artifact import Artifact  # brings torch, which a worker with ONNX can do without

Features = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]

# What a layer makes of them stays in a core's cache: with some thousand it takes longer a row, with
# some ten the calls do.
ROWS_AT_ONCE = 128

NO_DECISION = -1
DECISIONS: Mapping[int, str] = {decision.value: decision.name.lower() for decision in Decision}

_POLICY, _ONNX, _ARTIFACT = "policy.json", "model.onnx", "artifact/"


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model as bytes that any Python worker can load."""

    content: bytes
    checksum: str
    """SHA-256 of the content, in hex."""


def pack_model(folder: Path, artifact: Artifact) -> PackedModel:
    """The model in ``folder`` for workers: the same model, the same bytes.

    With its ONNX, a worker need not load torch, which takes seconds and 300 MB of each.

    Args:
        folder: of the artifact.
        artifact: what was loaded from there.
    """
    policy = None if artifact.policy is None else artifact.policy.to_json()
    files = {_POLICY: json.dumps(policy).encode()}
    if artifact.onnx is not None:
        files[_ONNX] = artifact.onnx
    else:
        files |= {f"{_ARTIFACT}{it.name}": it.read_bytes() for it in sorted(folder.iterdir())}
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
            if _ONNX in archive.namelist():
                self._score = _in_onnx_runtime(archive.read(_ONNX))
            else:
                self._score = _in_torch(archive)

    def score(self, features: Features) -> Scores:
        """Probabilities of fraud, of features of shape ``(N, F)``: shape ``(N,)``."""
        scores = np.empty(len(features), dtype=np.float32)
        for start in range(0, len(features), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            scores[part] = self._score(features[part])
        return scores

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


def _in_onnx_runtime(model: bytes) -> Callable[[Features], Scores]:
    # From 1.29 on it tells its maker which models are loaded, unless told not to before it loads.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # Spark runs as many tasks as there are cores
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def score(features: Features) -> Scores:
        (scores,) = session.run(["scores"], {"features": features})
        return np.asarray(scores, dtype=np.float32)

    return score


def _in_torch(archive: zipfile.ZipFile) -> Callable[[Features], Scores]:
    import torch

    from fraud_ml.artifact import load_artifact

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        archive.extractall(place, [it for it in archive.namelist() if it.startswith(_ARTIFACT)])
        net = load_artifact(Path(place) / _ARTIFACT).net

    def score(features: Features) -> Scores:
        scores: Scores = net.score(torch.from_numpy(features)).numpy()
        return scores

    return score
