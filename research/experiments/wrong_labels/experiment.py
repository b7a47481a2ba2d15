"""How much worse is a model when labels are wrong, and does who measures on them see it?"""

from __future__ import annotations

import numpy as np

from experiments.robustness import WARM_UP, Data, fit, population, seeds
from experiments.study import Study
from experiments.sweep import Sweep
from fraud_ml.metrics import average_precision
from fraud_ml.scenario import Labelling, Scenario

PERCENT = (0, 1, 2, 5, 10, 20)
SWEEP = Sweep(
    points={f"{percent}pc": f"{percent} %" for percent in PERCENT},
    series={"ap": "against the truth", "seen_ap": "as the wrong labels see it"},
    baseline="0pc",
    title="Wrong labels: what is lost, and what seems to be",
    x="frauds labelled honest, and as many honest payments labelled fraud",
)


def run(study: Study) -> None:
    """Features, training and the owner's own measurement all see the wrong labels."""
    shape = (len(PERCENT), study.parameters["n_seeds"])
    true, seen = np.zeros(shape), np.zeros(shape)
    train, test = study.parameters["train_days"], study.parameters["test_days"]
    first = WARM_UP + train
    for number, seed in enumerate(seeds(study)):
        for at, percent in enumerate(PERCENT):
            share = percent / 100
            data = Data.of(
                Scenario(
                    seed=seed,
                    n_days=first + test,
                    population=population(study.parameters),
                    labels=Labelling(missed=share, false_alarms=share),
                )
            )
            rows = data.on(first, first + test)
            model = fit(data, data.labelled(first, train), study.parameters, seed)
            score = model(data.features[rows])
            true[at, number] = average_precision(data.is_fraud[rows], score)
            seen[at, number] = average_precision(data.said[rows], score)
    SWEEP.finish(study, {"ap": true, "seen_ap": seen})
