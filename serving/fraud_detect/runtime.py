"""Runs a model's net: in ONNX Runtime where it was exported, else in torch."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from fraud_ml.artifact import Artifact

# From 1.29 on it reports which models are loaded to its maker, unless told not to before it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

Features = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]


def score_function(artifact: Artifact, *, threads: int = 1) -> Callable[[Features], Scores]:
    """What turns features, shape ``(B, F)``, into probabilities of fraud, shape ``(B,)``.

    Args:
        artifact: of the model.
        threads: that share the rows of a call. More than one delays small batches.
    """
    if artifact.onnx is None:
        torch.set_num_threads(threads)
        net = artifact.net

        def in_torch(features: Features) -> Scores:
            scores: Scores = net.score(torch.from_numpy(features)).numpy()
            return scores

        return in_torch
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        artifact.onnx, options, providers=["CPUExecutionProvider"]
    )

    def in_onnx_runtime(features: Features) -> Scores:
        (scores,) = session.run(["scores"], {"features": features})
        return np.asarray(scores, dtype=np.float32)

    return in_onnx_runtime
