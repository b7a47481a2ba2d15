"""Do features of the amount against the customer's usual one earn their place in DEFAULT_SPEC?"""

from __future__ import annotations

import dataclasses

import numpy as np

from experiments.robustness import WARM_UP, Data, Ints, fit, population, seeds
from experiments.study import Study
from experiments.sweep import Sweep
from fraud_ml.feature_spec import DEFAULT_SPEC
from fraud_ml.metrics import average_precision
from fraud_ml.scenario import (
    HANDBOOK_FRAUDS,
    CompromisedCustomers,
    CompromisedTerminals,
    Fraud,
    Rings,
    Scenario,
)

CANDIDATES = ("customer_amount_to_median", "customer_amount_robust_z")
"""The amount over the median of the customer's last 32, and its distance in deviations."""
WORLDS: dict[str, tuple[Fraud, ...]] = {
    "handbook": HANDBOOK_FRAUDS,
    # Where thieves ask for twice as much instead of five times, terminals have honest payments in
    # between, and no amount gives a fraud away: what nobody had in mind who thought of features.
    "other": (
        CompromisedTerminals(share=0.5, days=10),
        CompromisedCustomers(share=0.5, factor=2.0, days=7),
        Rings(),
    ),
}
SWEEP = Sweep(
    points={"without": "without", "with": "with"},
    series={
        "ours_handbook": "our net, the handbook's frauds",
        "lightgbm_handbook": "LightGBM, the handbook's frauds",
        "ours_other": "our net, other frauds",
        "lightgbm_other": "LightGBM, other frauds",
    },
    baseline="without",
    title="The amount against the usual one, beside 28 other features",
    x="features customer_amount_to_median and customer_amount_robust_z",
)


def run(study: Study) -> None:
    """The library's features with and without the candidates, on the same rows."""
    parameters = study.parameters
    rounds = {"ours": parameters["epochs"], "lightgbm": parameters["trees"]}
    first = WARM_UP + parameters["train_days"]
    values = {name: np.zeros((2, parameters["n_seeds"])) for name in SWEEP.series}
    for number, seed in enumerate(seeds(study)):
        for world, frauds in WORLDS.items():
            scenario = Scenario(
                seed=seed,
                n_days=first + parameters["test_days"],
                population=population(parameters),
                frauds=frauds,
            )
            all_features = Data.of(scenario, DEFAULT_SPEC)
            kept = [at for at, name in enumerate(DEFAULT_SPEC.names) if name not in CANDIDATES]
            if len(kept) != len(DEFAULT_SPEC.names) - len(CANDIDATES):
                raise ValueError(f"DEFAULT_SPEC has no longer {CANDIDATES}: nothing to compare")
            fewer = dataclasses.replace(all_features, features=all_features.features[:, kept])
            for model in rounds:
                settings = {"model": model, "rounds": rounds[model]}
                for at, data in enumerate((fewer, all_features)):
                    rows = data.on(first, scenario.n_days)
                    trained = data.labelled(first, parameters["train_days"])
                    reached = _reached(data, trained, rows, settings, seed)
                    values[f"{model}_{world}"][at, number] = reached
    SWEEP.finish(study, values)


def _reached(
    data: Data, trained: Ints, rows: Ints, settings: dict[str, str | int], seed: int
) -> float:
    score = fit(data, trained, settings, seed)
    return average_precision(data.is_fraud[rows], score(data.features[rows]))
