"""How much worse is a model whose labels come later, and how much of that could anyone avoid?"""

from __future__ import annotations

import numpy as np

from experiments.robustness import WARM_UP, Data, fit, population, seeds
from experiments.study import Study
from experiments.sweep import Sweep
from fraud_ml.metrics import average_precision
from fraud_ml.oracle import oracle_scores
from fraud_ml.scenario import Labelling, Scenario

DELAYS = (1, 3, 7, 14, 30)
SWEEP = Sweep(
    points={f"{delay}d": str(delay) for delay in DELAYS},
    series={"oracle_ap": "the oracle", "ap": "trained model"},
    baseline="7d",
    title="The later the labels, the fewer frauds are found",
    x="days from a payment to its label",
)


def run(study: Study) -> None:
    """The same payments and test days each time; only when their labels come differs."""
    shape = (len(DELAYS), study.parameters["n_seeds"])
    of_model, of_oracle = np.zeros(shape), np.zeros(shape)
    train, test = study.parameters["train_days"], study.parameters["test_days"]
    first = WARM_UP + train + max(DELAYS)
    for number, seed in enumerate(seeds(study)):
        for at, delay in enumerate(DELAYS):
            scenario = Scenario(
                seed=seed,
                n_days=first + test,
                population=population(study.parameters),
                labels=Labelling(delay_days=delay),
            )
            data = Data.of(scenario)
            rows = data.on(first, first + test)
            score = fit(data, data.labelled(first, train), study.parameters, seed)
            known = oracle_scores(data.simulation, scenario)
            fraud = data.is_fraud[rows]
            of_model[at, number] = average_precision(fraud, score(data.features[rows]))
            of_oracle[at, number] = average_precision(fraud, known[rows])
    SWEEP.finish(study, {"ap": of_model, "oracle_ap": of_oracle})
