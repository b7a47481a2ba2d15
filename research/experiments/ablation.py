"""What features of the library are worth: the same rows with and without them, in two worlds."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np

from experiments.robustness import WARM_UP, Data, fit, population, seeds
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


def ablation(title: str, x: str) -> Sweep:
    """The sweep of :func:`measure_without`: our net and LightGBM, each in both worlds."""
    return Sweep(
        points={"without": "without", "with": "with"},
        series={
            "ours_handbook": "our net, the handbook's frauds",
            "lightgbm_handbook": "LightGBM, the handbook's frauds",
            "ours_other": "our net, other frauds",
            "lightgbm_other": "LightGBM, other frauds",
        },
        baseline="without",
        title=title,
        x=x,
    )


def measure_without(study: Study, sweep: Sweep, candidates: Collection[str]) -> None:
    """Logs what ``DEFAULT_SPEC`` reaches with and without the ``candidates``, on the same rows.

    Parameters of the study are ``trees`` (LightGBM's), ``epochs`` (ours), and those of
    :mod:`experiments.robustness`.

    Raises:
        ValueError: a candidate is no feature of ``DEFAULT_SPEC``: the evidence is of another.
    """
    names = DEFAULT_SPEC.names
    if gone := sorted(set(candidates) - set(names)):
        raise ValueError(f"DEFAULT_SPEC has no {', '.join(gone)}: there is nothing to compare")
    kept = [at for at, name in enumerate(names) if name not in candidates]
    parameters = study.parameters
    rounds = {"ours": parameters["epochs"], "lightgbm": parameters["trees"]}
    first = WARM_UP + parameters["train_days"]
    values = {name: np.zeros((2, parameters["n_seeds"])) for name in sweep.series}
    for number, seed in enumerate(seeds(study)):
        for world, frauds in WORLDS.items():
            scenario = Scenario(
                seed=seed,
                n_days=first + parameters["test_days"],
                population=population(parameters),
                frauds=frauds,
            )
            everything = Data.of(scenario, DEFAULT_SPEC)
            fewer = dataclasses.replace(everything, features=everything.features[:, kept])
            rows = everything.on(first, scenario.n_days)
            trained = everything.labelled(first, parameters["train_days"])
            for model in rounds:
                settings = {"model": model, "rounds": rounds[model]}
                for at, data in enumerate((fewer, everything)):
                    score = fit(data, trained, settings, seed)(data.features[rows])
                    reached = average_precision(data.is_fraud[rows], score)
                    values[f"{model}_{world}"][at, number] = reached
    sweep.finish(study, values)
