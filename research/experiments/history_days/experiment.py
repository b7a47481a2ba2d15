"""How many days of history pay, where frauds stay as they are and where they have just changed?"""

from __future__ import annotations

import numpy as np

from experiments.robustness import WARM_UP, Data, fit, population, seeds
from experiments.study import Study
from experiments.sweep import Sweep
from fraud_ml.metrics import average_precision
from fraud_ml.scenario import HANDBOOK_FRAUDS, Fraud, Rings, Scenario

TRAIN_DAYS = (1, 3, 7, 14, 28, 56)
SWEEP = Sweep(
    points={f"{days}d": str(days) for days in TRAIN_DAYS},
    series={"ap_stable": "frauds stay as they are", "ap_changed": "rings began 14 days ago"},
    baseline="7d",
    title="Days of history: a week is nearly enough",
    x="days of labelled history that are trained on",
)


def run(study: Study) -> None:
    """The same test days each time; labels come after a week, so rings have 7 labelled days."""
    test = study.parameters["test_days"]
    first = WARM_UP + max(TRAIN_DAYS)
    rings = Rings(first_day=first - 14, a_day=study.parameters["rings_a_day"])
    worlds: dict[str, tuple[Fraud, ...]] = {
        "ap_stable": HANDBOOK_FRAUDS,
        "ap_changed": (*HANDBOOK_FRAUDS, rings),
    }
    shape = (len(TRAIN_DAYS), study.parameters["n_seeds"])
    values = {name: np.zeros(shape) for name in worlds}
    for number, seed in enumerate(seeds(study)):
        for name, frauds in worlds.items():
            scenario = Scenario(
                seed=seed,
                n_days=first + test,
                population=population(study.parameters),
                frauds=frauds,
            )
            data = Data.of(scenario)
            rows = data.on(first, first + test)
            for at, days in enumerate(TRAIN_DAYS):
                model = fit(data, data.labelled(first, days), study.parameters, seed)
                score = model(data.features[rows])
                values[name][at, number] = average_precision(data.is_fraud[rows], score)
    SWEEP.finish(study, values)
