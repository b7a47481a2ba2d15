"""A study that measures the same at several points: its numbers, and the figure drawn from them.

What is logged is enough to draw: the figure in the tree follows from the report beside it, and a
test draws it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from experiments.study import Study

FIGURE = "figure.svg"
_SD, _CHANGE = "_sd", "_change"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Which numbers there are, and how they are drawn."""

    points: Mapping[str, str]
    """The end of a metric's name to what the axis says, in order."""
    series: Mapping[str, str]
    """The beginning of a metric's name to what the legend says."""
    baseline: str | None = None
    """The point that the others are compared with, seed by seed."""
    title: str
    x: str
    y: str = "average precision"

    def log(self, study: Study, values: Mapping[str, npt.ArrayLike]) -> None:
        """Logs mean and deviation over the seeds, and the changes against the baseline.

        Changes are taken within a seed, so what one simulation is luckier than another does not
        blur them. Of one seed, deviations are 0.

        Args:
            study: takes ``{series}_{point}``, ``..._sd``, ``..._change`` and ``..._change_sd``.
            values: of each series, shape (points, seeds).
        """
        for series in self.series:
            rows = np.asarray(values[series], dtype=np.float64)
            if rows.shape[0] != len(self.points):
                raise ValueError(f"{series}: {rows.shape[0]} points, must be {len(self.points)}")
            for point, of_point in zip(self.points, rows, strict=True):
                log_values(study, f"{series}_{point}", of_point)
                if self.baseline is not None and point != self.baseline:
                    base = rows[list(self.points).index(self.baseline)]
                    log_values(study, f"{series}_{point}{_CHANGE}", of_point - base)

    def draw(self, path: Path, metrics: Mapping[str, float]) -> None:
        """Draws the series, with bars of one deviation, into an SVG file: the same each time.

        Raises:
            OSError: the file cannot be written.
        """
        # The same numbers, the same file; text as text, which is a tenth of its outlines.
        with mpl.rc_context({"svg.hashsalt": "fraud-detect", "svg.fonttype": "none"}):
            figure = Figure(figsize=(6.4, 4.2))
            axes = figure.subplots()
            for number, (series, label) in enumerate(self.series.items()):
                names = [f"{series}_{point}" for point in self.points]
                x = np.arange(len(names)) + 0.04 * (number - (len(self.series) - 1) / 2)
                axes.errorbar(
                    x,
                    [metrics[name] for name in names],
                    yerr=[metrics[f"{name}{_SD}"] for name in names],
                    label=label,
                    marker="o",
                    markersize=4,
                    linewidth=1.3,
                    capsize=3,
                )
            axes.set_xticks(np.arange(len(self.points)), list(self.points.values()))
            axes.set(xlabel=self.x, ylabel=self.y, title=self.title)
            axes.grid(axis="y", alpha=0.3)
            lines = -(-len(self.series) // 2)  # of the legend, below what it would hide
            figure.legend(loc="lower center", ncols=2, fontsize="small", frameon=False)
            figure.subplots_adjust(left=0.11, right=0.98, top=0.92, bottom=0.16 + 0.05 * lines)
            figure.savefig(path, metadata={"Date": None})

    def finish(self, study: Study, values: Mapping[str, npt.ArrayLike]) -> None:
        """Logs the values, and draws them into a file that is kept with the run."""
        self.log(study, values)
        numbers = {name: metric.value for name, metric in study.metrics.items()}
        self.draw(study.file(FIGURE), numbers)


def log_values(study: Study, name: str, values: npt.NDArray[np.float64]) -> None:
    """Logs the mean of ``values``, shape ``(seeds,)``, as ``name``; deviation as ``{name}_sd``.

    A seed whose value is NaN, as there was nothing to measure, is left out; 0 where all are.
    """
    there = values[~np.isnan(values)]
    study.log(name, float(there.mean()) if len(there) else 0.0)
    study.log(f"{name}{_SD}", float(there.std(ddof=1)) if len(there) > 1 else 0.0)


def draw_report(sweep: Sweep, report: Path, path: Path) -> None:
    """Draws the figure of a ``report.json``.

    Raises:
        OSError: a file cannot be read or written.
    """
    metrics = json.loads(report.read_text(encoding="utf-8"))["metrics"]
    sweep.draw(path, {it["name"]: it["value"] for it in metrics})
