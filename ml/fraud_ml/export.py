"""A net in forms that run without this library: a ``torch.export`` program, and ONNX.

Both take any number of rows, and give the calibrated probability of fraud.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from fraud_ml.model import FraudNet


class _Scores(nn.Module):
    def __init__(self, net: FraudNet) -> None:
        super().__init__()
        self._net = net

    def forward(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self._net(features))


def export_program(net: FraudNet) -> torch.export.ExportedProgram:
    """``net`` as a program from features, shape ``(B, F)``, to scores, shape ``(B,)``; B >= 1."""
    example = torch.zeros(2, len(net.categories))
    rows = {"features": {0: torch.export.Dim("rows", min=1)}}
    scores = _Scores(net).eval()
    return torch.export.export(scores, (example,), dynamic_shapes=rows, strict=False)


def to_onnx(net: FraudNet) -> bytes:
    """``net`` as the content of an ONNX file, its weights inside.

    Its input is ``features``, float32 of shape ``(rows, F)``, NaN where missing; its output
    ``scores``, float32 of shape ``(rows,)``. Needs the packages onnx and onnxscript, and some
    seconds.
    """
    logging.getLogger("torch.onnx").setLevel(
        logging.ERROR
    )  # it misses packages that we do not need
    with warnings.catch_warnings():
        # torch copies a class of its own that it deprecates.
        warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", FutureWarning)
        program = torch.onnx.export(
            export_program(net),
            input_names=["features"],
            output_names=["scores"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the old exporter returns None
    with TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        program.save(path)
        return path.read_bytes()
