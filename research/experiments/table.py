"""The table of the comparison: who was tested on which features, and what each reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.table import Table
from scipy.special import stdtrit

from batch_proc.fold import Fold
from experiments.scoring_time import ScoringTime
from fraud_ml.metrics import average_precision, card_precision_at_k, roc_auc
from tools.bench.harness import Result

METRICS = ("ap", "auc", "cp100")
CAPTION = """\
Means over train starts and seeds. ±: 95 % interval of the mean by Student's t over train starts,
each the mean of its seeds. Minus ours: on the same train start. Seeds: deviation within a start.
µs: to score one payment by itself, and each of 4,096 at once, as the model's library is called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A model on a set of features: what it reached on each fold with each seed, and how fast."""

    model: str
    features: str
    n_features: int
    reached: npt.NDArray[np.float64]
    """Shape (folds, seeds, 3), the last in the order of :data:`METRICS`."""
    seconds: float
    """Median time of one training; 0 where there was none."""
    scoring: ScoringTime | None = None
    """None where nothing was trained."""

    def by_fold(self, metric: str) -> npt.NDArray[np.float64]:
        """The mean of a metric over the seeds of each fold: shape (folds,)."""
        means: npt.NDArray[np.float64] = self.reached[:, :, METRICS.index(metric)].mean(axis=1)
        return means

    def mean(self, metric: str) -> float:
        """The mean of a metric over folds and seeds."""
        return float(self.by_fold(metric).mean())

    def seed_deviation(self, metric: str) -> float:
        """The deviation over seeds within a fold, pooled over folds."""
        values = self.reached[:, :, METRICS.index(metric)]
        return float(np.sqrt(values.var(axis=1).mean()))


def measure(fold: Fold, score: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    """The :data:`METRICS` of scores of the fold's test rows, shape ``(N,)``."""
    test = fold.test
    return (
        average_precision(test.is_fraud, score),
        roc_auc(test.is_fraud, score),
        card_precision_at_k(test.day, test.customer, test.is_fraud, score, k=100),
    )


def half_interval(by_fold: npt.NDArray[np.float64]) -> float | None:
    """Half the width of the 95 % interval of the mean, by Student's t; None for one fold.

    Folds are few, so it is wide; and a week apart, so that they share customers and terminals:
    it says how the mean would vary over other weeks of these data, not over other data.
    """
    n = len(by_fold)
    if n < 2:
        return None
    return float(stdtrit(n - 1, 0.975) * by_fold.std(ddof=1) / np.sqrt(n))


def as_table(lines: Sequence[Line], title: str) -> Table:
    """For people."""
    table = Table(
        title=title, title_justify="left", title_style="bold",
        caption=CAPTION, caption_justify="left",
    )  # fmt: skip
    table.add_column("model", no_wrap=True)
    table.add_column("features")
    for name in ("AP", "minus ours", "seeds", "AUC", "CP@100", "train, s", "1, µs", "4,096, µs"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        ours = _ours(lines, line)
        times = [""] * 3
        if line.scoring is not None:
            times = [f"{line.seconds:.1f}", f"{line.scoring.one:,.0f}", f"{line.scoring.row:.2f}"]
        table.add_row(
            line.model,
            f"{line.features} ({line.n_features})",
            _cell(line.by_fold("ap")),
            "" if ours is None else _cell(line.by_fold("ap") - ours.by_fold("ap"), "+"),
            f"{line.seed_deviation('ap'):.3f}" if line.reached.shape[1] > 1 else "",
            _cell(line.by_fold("auc")),
            _cell(line.by_fold("cp100")),
            *times,
        )
    return table


def _ours(lines: Sequence[Line], line: Line) -> Line | None:
    """Our line on the same features, or the first one for who has others; None for the first."""
    if line is lines[0]:
        return None
    same = [it for it in lines if it.model == lines[0].model and it.features == line.features]
    ours = same[0] if same else lines[0]
    return None if ours is line else ours


def _cell(by_fold: npt.NDArray[np.float64], sign: str = "") -> str:
    half = half_interval(by_fold)
    mean = f"{by_fold.mean():{sign}.3f}"
    return mean if half is None else f"{mean} ±{half:.3f}"


def as_results(lines: Sequence[Line], oracle: Line | None) -> list[Result]:
    """For programs: ours against the best of the others on the same features, and the oracle.

    Then for each line its metrics, half their intervals where there are some, and its times.
    """
    ours = lines[0]
    others = [line for line in lines[1:] if line.features == ours.features]
    results = []
    for metric in METRICS:
        best = max(others, key=lambda line: line.mean(metric))
        results.append(_against(ours, best, metric))
    if oracle is not None:
        for metric in ("ap", "cp100"):
            share = ours.mean(metric) / oracle.mean(metric)
            name = f"{metric}_over_oracle"
            results.append(Result(name=name, value=share, unit="", peer="oracle", ratio=share))
    for line in lines:
        suffix = "" if line.features == ours.features else f"_{line.features.replace(' ', '_')}"
        results += _of_line(line, _ours(lines, line), f"{line.model}{suffix}")
    return results


def _of_line(line: Line, ours: Line | None, name: str) -> list[Result]:
    found = [(metric, line.by_fold(metric)) for metric in METRICS]
    if ours is not None:
        found.append(("ap_minus_ours", line.by_fold("ap") - ours.by_fold("ap")))
    results = []
    for metric, by_fold in found:
        results.append(Result(name=f"{name}_{metric}", value=float(by_fold.mean()), unit=""))
        half = half_interval(by_fold)
        if half is not None:
            results.append(Result(name=f"{name}_{metric}_half_interval", value=half, unit=""))
    results.append(Result(name=f"{name}_train", value=line.seconds, unit="s"))
    if line.scoring is not None:
        results += [
            Result(name=f"{name}_score_one", value=line.scoring.one, unit="µs"),
            Result(name=f"{name}_score_row_of_4096", value=line.scoring.row, unit="µs"),
        ]
    return results


def _against(ours: Line, best: Line, metric: str) -> Result:
    value = ours.mean(metric)
    return Result(
        name=metric, value=value, unit="", peer=best.model, ratio=value / best.mean(metric)
    )
