"""`./bazelw run //research:compare`: our model and the field's, on the same rows and features."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from batch_proc.command import fraud_home, run
from batch_proc.fold import Fold, Rows, make_fold, quality
from batch_proc.inputs import choose_days, read_history
from batch_proc.measures import Measure, print_table, to_json, write_whole
from batch_proc.progress import Stages
from batch_proc.train_options import parse_train_options
from fraud_ml.training import train_model

Scores = npt.NDArray[np.float32]
Fit = Callable[[Rows, int], Callable[[npt.NDArray[np.float32]], Scores]]


def fit_ours(rows: Rows, seed: int) -> Callable[[npt.NDArray[np.float32]], Scores]:
    """The scoring function of our model, trained on `rows`."""
    names = [f"feature_{number}" for number in range(rows.features.shape[1])]
    net = train_model(
        rows.features, rows.is_fraud, customers=rows.customer, feature_names=names, seed=seed
    ).net

    def score(features: npt.NDArray[np.float32]) -> Scores:
        with torch.inference_mode():
            scored: Scores = net.score(torch.from_numpy(features)).numpy()
        return scored

    return score


def fit_sklearn(make: Callable[[int], ClassifierMixin]) -> Fit:
    """A fit of the scikit-learn classifier that `make` makes from a seed."""

    def fit(rows: Rows, seed: int) -> Callable[[npt.NDArray[np.float32]], Scores]:
        classifier = make(seed).fit(rows.features, rows.is_fraud)
        return lambda features: classifier.predict_proba(features)[:, 1].astype(np.float32)

    return fit


def logistic_regression(seed: int) -> ClassifierMixin:
    """As in the handbook: on scaled features, scikit-learn's defaults."""
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


def random_forest(seed: int) -> ClassifierMixin:
    """As in the handbook: 100 trees, scikit-learn's defaults."""
    return RandomForestClassifier(random_state=seed, n_jobs=-1)


MODELS: dict[str, Fit] = {
    "ours": fit_ours,
    "logistic_regression": fit_sklearn(logistic_regression),
    "random_forest": fit_sklearn(random_forest),
}


def compare(fold: Fold, seed: int) -> Iterator[tuple[str, list[Measure]]]:
    """Each model's name, and its quality on the test rows and seconds to train."""
    for name, fit in MODELS.items():
        started = time.monotonic()
        score = fit(fold.train, seed)
        seconds = time.monotonic() - started
        yield name, [*quality(fold.test, score(fold.test.features)), Measure("train", seconds, "s")]


def main() -> None:
    """Compares as the command line says."""
    options = parse_train_options(
        prog="./bazelw run //research:compare --",
        description="Train our model and the field's on the same fold, and compare them.",
    )
    stages = Stages()
    history = read_history(options, fraud_home(), stages)
    days = choose_days(options, history)
    with stages.stage("features", "compute features"):
        fold = make_fold(history, days, options.spec)
    rows = []
    with stages.stage("compare", "train and test") as stage:
        for number, (model, measures) in enumerate(compare(fold, options.seed), start=1):
            stage.advance(number, len(MODELS))
            rows += [
                Measure(f"{model}_{it.name}", it.value, it.unit, it.meaning) for it in measures
            ]
    stages.stop()
    if options.json_path:
        write_whole(options.json_path, f"{to_json(rows)}\n")
    print_table(f"tested from {days.test_start} on", rows, Console())


if __name__ == "__main__":
    sys.exit(run(main))
