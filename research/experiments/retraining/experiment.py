"""Is it worth to retrain daily, weekly, or at all, where frauds stay as they are and where not?"""

from __future__ import annotations

import numpy as np

from experiments.robustness import WARM_UP, Data, fit, population, seeds
from experiments.study import Study
from experiments.sweep import Sweep
from fraud_ml.metrics import average_precision
from fraud_ml.scenario import HANDBOOK_FRAUDS, Fraud, Rings, Scenario

EVERY = {"daily": 1, "weekly": 7, "never": 10**6}
SWEEP = Sweep(
    points={name: name for name in EVERY},
    series={"ap_stable": "frauds stay as they are", "ap_changing": "rings begin after a week"},
    baseline="weekly",
    title="Retraining, over four weeks of test days",
    x="how often the model is retrained on the last labelled days",
)


def run(study: Study) -> None:
    """Average precision of each test day, its mean over days; labels come after a week."""
    train, test = study.parameters["train_days"], study.parameters["test_days"]
    first = WARM_UP + train
    worlds: dict[str, tuple[Fraud, ...]] = {
        "ap_stable": HANDBOOK_FRAUDS,
        "ap_changing": (
            *HANDBOOK_FRAUDS,
            Rings(first_day=first + 7, a_day=study.parameters["rings_a_day"]),
        ),
    }
    shape = (len(EVERY), study.parameters["n_seeds"])
    values = {name: np.zeros(shape) for name in worlds}
    for number, seed in enumerate(seeds(study)):
        for name, frauds in worlds.items():
            scenario = Scenario(
                seed=seed,
                n_days=first + test,
                population=population(study.parameters),
                frauds=frauds,
            )
            values[name][:, number] = _by_cadence(Data.of(scenario), study, first, seed)
    SWEEP.finish(study, values)


def _by_cadence(data: Data, study: Study, first: int, seed: int) -> list[float]:
    """Of each of :data:`EVERY`, the mean over the test days: a model is trained once a day."""
    train, test = study.parameters["train_days"], study.parameters["test_days"]
    reached: dict[str, list[float]] = {name: [] for name in EVERY}
    in_use = {}
    for day in range(first, first + test):
        today = fit(data, data.labelled(day, train), study.parameters, seed)
        rows = data.on(day, day + 1)
        for name, every in EVERY.items():
            if (day - first) % every == 0:
                in_use[name] = today
            score = in_use[name](data.features[rows])
            reached[name].append(average_precision(data.is_fraud[rows], score))
    return [float(np.mean(days)) for days in reached.values()]
