"""The table of the comparison: who was tested on which features, and what each reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.table import Table

from batch_proc.fold import Fold
from fraud_ml.metrics import average_precision, card_precision_at_k, roc_auc
from tools.bench.harness import Result

METRICS = ("ap", "auc", "cp100")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A model on a set of features: its metrics, one row a fold and seed."""

    model: str
    features: str
    n_features: int
    reached: npt.NDArray[np.float64]
    """Shape (folds * seeds, 3), in the order of :data:`METRICS`."""
    seconds: float
    """Median time of one training."""

    def mean(self, metric: str) -> float:
        """The mean of a metric over folds and seeds."""
        return float(self.reached[:, METRICS.index(metric)].mean())


def measure(fold: Fold, score: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    """The :data:`METRICS` of scores of the fold's test rows, shape ``(N,)``."""
    test = fold.test
    return (
        average_precision(test.is_fraud, score),
        roc_auc(test.is_fraud, score),
        card_precision_at_k(test.day, test.customer, test.is_fraud, score, k=100),
    )


def as_table(lines: Sequence[Line], title: str) -> Table:
    """For people: the means, and in brackets the deviation over folds and seeds."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("model")
    table.add_column("features")
    for name in ("AP", "AUC", "CP@100", "train, s"):
        table.add_column(name, justify="right")
    for line in lines:
        cells = [
            f"{line.reached[:, column].mean():.3f} ({line.reached[:, column].std():.3f})"
            for column in range(len(METRICS))
        ]
        seconds = f"{line.seconds:.1f}" if line.seconds else ""
        table.add_row(line.model, f"{line.features} ({line.n_features})", *cells, seconds)
    return table


def as_results(lines: Sequence[Line], oracle: Line | None) -> list[Result]:
    """For programs: ours against the best of the others on the same features, and the oracle."""
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
    for line in lines[1:]:
        suffix = "" if line.features == ours.features else f"_{line.features.replace(' ', '_')}"
        results += [
            Result(name=f"{line.model}{suffix}_{metric}", value=line.mean(metric), unit="")
            for metric in METRICS
        ]
    return results


def _against(ours: Line, best: Line, metric: str) -> Result:
    value = ours.mean(metric)
    return Result(
        name=metric, value=value, unit="", peer=best.model, ratio=value / best.mean(metric)
    )
