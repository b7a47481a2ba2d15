"""The picture of the comparison: precision-recall curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from fraud_ml.metrics import precision_recall_curve

mpl.rcParams["svg.hashsalt"] = "fraud-detect"  # the same curves, the same file


def draw(
    path: Path,
    is_fraud: npt.NDArray[np.bool_],
    scores: Mapping[str, npt.NDArray[np.floating]],
    title: str,
) -> None:
    """Draw the curve of each of ``scores``, shape ``(N,)``, into an SVG or PNG file.

    Raises:
        OSError: the file cannot be written.
        ValueError: its name ends in no format that there is.
    """
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for name, score in scores.items():
        curve = precision_recall_curve(is_fraud, score)
        axes.plot(curve.recall, curve.precision, label=name, linewidth=1.5)
    rate = float(is_fraud.mean())
    axes.axhline(rate, color="grey", linestyle=":", label=f"by chance ({rate:.1%})")
    axes.set(xlabel="recall: share of the frauds found", ylabel="precision", title=title)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
