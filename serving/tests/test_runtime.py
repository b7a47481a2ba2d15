"""A net runs in ONNX Runtime as it does in torch, and nobody else hears of it."""

import dataclasses
import subprocess
import sys

import numpy as np
from payments import SPEC, small_artifact

from fraud_detect.processes import python_path
from fraud_detect.runtime import score_function
from fraud_ml.export import to_onnx

FEATURES = np.random.default_rng(0).uniform(0, 100, (50, len(SPEC.names))).astype(np.float32)


def test_onnx_runtime_and_torch_score_the_same() -> None:
    artifact = small_artifact()
    exported = dataclasses.replace(artifact, onnx=to_onnx(artifact.net))
    in_torch, in_onnx_runtime = score_function(artifact), score_function(exported)
    for n_rows in (1, 2, 50):
        rows = FEATURES[:n_rows]
        np.testing.assert_allclose(in_onnx_runtime(rows), in_torch(rows), atol=1e-5)


def say(program: str) -> str:
    # Where it reports, it complains that it cannot write down an identifier of this machine.
    variables = {"PYTHONPATH": python_path(), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True
    )
    return done.stderr


def test_it_reports_to_nobody() -> None:
    assert "telemetry" in say("import onnxruntime")
    assert "telemetry" not in say("import fraud_detect.runtime")
