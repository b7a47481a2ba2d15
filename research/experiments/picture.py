"""The picture of the comparison: precision and recall, quality and cost, cards by day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from batch_proc.fold import Fold
from experiments.table import Line, half_interval
from fraud_ml.metrics import cards_by_day, precision_recall_curve

mpl.rcParams["svg.hashsalt"] = "fraud-detect"  # the same curves, the same file

Floats = npt.NDArray[np.float64]
FoldScores = Sequence[Sequence[npt.NDArray[np.floating]]]
"""Of the test rows: by fold, then by seed."""

_RECALL = np.linspace(0, 1, 201)
_CARDS = 100  # looked at each day, as for CP@100


def draw(
    path: Path,
    folds: Sequence[Fold],
    lines: Sequence[Line],
    scores: Mapping[str, FoldScores],
    title: str,
) -> None:
    """Draw three charts into an SVG or PNG file.

    Args:
        path: of the file.
        folds: that were tested on.
        lines: one a model, on the same features.
        scores: by model, those of ``lines`` among them.
        title: above the charts.

    Raises:
        OSError: the file cannot be written.
        ValueError: its name ends in no format that there is.
    """
    figure = Figure(figsize=(16, 5.5), layout="constrained")
    curves, costs, cards = figure.subplots(1, 3)
    for number, line in enumerate(lines):
        colour = f"C{number}" if number < 10 else "black"
        _draw_curve(curves, folds, scores[line.model], line.model, colour)
        _draw_cost(costs, line, colour)
        _draw_cards(cards, folds, scores[line.model], colour)
    rate = float(np.concatenate([fold.test.is_fraud for fold in folds]).mean())
    curves.axhline(rate, color="grey", linestyle=":", label=f"by chance ({rate:.1%})")
    curves.set(xlabel="recall: share of the frauds found", ylabel="precision")
    curves.set(xlim=(0, 1), ylim=(0, 1.02), title="Mean curve; band: lowest and highest")
    costs.set(xscale="log", xlabel="seconds to train", ylabel="average precision")
    costs.set(title="Bars: 95 % interval over train starts")
    costs.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    costs.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    costs.xaxis.set_minor_formatter(NullFormatter())
    cards.set(ylabel=f"compromised among {_CARDS} cards", ylim=(0, None))
    cards.set(title="Cards worth looking at, each day")
    cards.tick_params("x", rotation=45)
    figure.suptitle(title)
    figure.legend(loc="outside lower center", ncols=6)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def precision_at_recalls(
    is_fraud: npt.NDArray[np.bool_], score: npt.NDArray[np.floating]
) -> Floats:
    """Precision of the highest threshold that finds at least each of 201 shares of the frauds.

    Steps, not lines from point to point, which would promise more than any threshold gives (Davis
    and Goadrich, "The Relationship Between Precision-Recall and ROC Curves", 2006).

    Args and raises: as :func:`~fraud_ml.metrics.precision_recall_curve`.
    """
    curve = precision_recall_curve(is_fraud, score)
    recall, precision = curve.recall[::-1], curve.precision[::-1]
    at = np.searchsorted(recall, _RECALL - 1e-12)
    return precision[at].astype(np.float64)


def _draw_curve(
    axes: Axes, folds: Sequence[Fold], scores: FoldScores, name: str, colour: str
) -> None:
    each = np.array(
        [
            precision_at_recalls(fold.test.is_fraud, score)
            for fold, by_seed in zip(folds, scores, strict=True)
            for score in by_seed
        ]
    )
    axes.plot(_RECALL, each.mean(axis=0), color=colour, label=name, linewidth=1.5)
    if len(each) > 1:
        axes.fill_between(
            _RECALL, each.min(axis=0), each.max(axis=0), color=colour, alpha=0.1, linewidth=0
        )


def _draw_cost(axes: Axes, line: Line, colour: str) -> None:
    if line.scoring is None:  # nobody trained it
        axes.axhline(line.mean("ap"), color=colour, linestyle="--", linewidth=1)
        return
    half = half_interval(line.by_fold("ap"))
    axes.errorbar([line.seconds], [line.mean("ap")], yerr=half, fmt="o", color=colour, capsize=3)


def _draw_cards(axes: Axes, folds: Sequence[Fold], scores: FoldScores, colour: str) -> None:
    found: dict[int, list[float]] = {}
    for fold, by_seed in zip(folds, scores, strict=True):
        test = fold.test
        for score in by_seed:
            cards = cards_by_day(test.day, test.customer, test.is_fraud, score, _CARDS)
            for day, number in zip(cards.day.tolist(), cards.found.tolist(), strict=True):
                found.setdefault(day, []).append(number)
    days = sorted(found)
    dates = np.array(days, dtype="datetime64[D]")
    axes.plot(dates, [np.mean(found[day]) for day in days], ".-", color=colour, linewidth=1)
