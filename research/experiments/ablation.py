"""What features of the library are worth: the same rows with and without them, world by world."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.robustness import WARM_UP, Data, fit, population, seeds
from experiments.study import Study
from experiments.sweep import Sweep
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.metrics import average_precision
from fraud_ml.scenario import (
    HANDBOOK_FRAUDS,
    CompromisedCustomers,
    CompromisedTerminals,
    Fraud,
    Rings,
    Scenario,
)


@dataclass(frozen=True, slots=True)
class World:
    """A simulated process of frauds."""

    name: str
    """In words, for a legend."""
    frauds: tuple[Fraud, ...]


# Where thieves ask for twice as much instead of five times, terminals have honest payments in
# between, and no amount gives a fraud away: what nobody had in mind who thought of features.
_EPISODES = (
    CompromisedTerminals(share=0.5, days=10),
    CompromisedCustomers(share=0.5, factor=2.0, days=7),
)
WORLDS = {
    "handbook": World("the handbook's frauds", HANDBOOK_FRAUDS),
    "rings": World("the handbook's and rings", (*HANDBOOK_FRAUDS, Rings(a_day=0.3))),
    "episodes": World("other frauds without rings", _EPISODES),
    "other": World("other frauds", (*_EPISODES, Rings())),
}
_USUAL = ("handbook", "other")
_MODELS = {"ours": "our net", "lightgbm": "LightGBM"}


def ablation(title: str, x: str, *, worlds: Sequence[str] = _USUAL) -> Sweep:
    """The sweep of :func:`measure_without`: our net and LightGBM, each in the :data:`WORLDS`."""
    return Sweep(
        points={"without": "without", "with": "with"},
        series={
            f"{model}_{world}": f"{of_model}, {WORLDS[world].name}"
            for world in worlds
            for model, of_model in _MODELS.items()
        },
        baseline="without",
        title=title,
        x=x,
    )


def measure_without(
    study: Study,
    sweep: Sweep,
    candidates: Collection[str],
    *,
    spec: FeatureSpec = DEFAULT_SPEC,
    worlds: Sequence[str] = _USUAL,
) -> None:
    """Logs what ``spec`` reaches with and without the ``candidates``, on the same rows.

    Parameters of the study are ``trees`` (LightGBM's), ``epochs`` (ours), and those of
    :mod:`experiments.robustness`.

    Args:
        study: takes the numbers.
        sweep: of the same ``worlds``.
        candidates: names of features.
        spec: which has them, and those that they are to be of use beside.
        worlds: of :data:`WORLDS`.

    Raises:
        ValueError: a candidate is no feature of ``spec``: the evidence is of another.
    """
    names = spec.names
    if gone := sorted(set(candidates) - set(names)):
        raise ValueError(f"the spec has no {', '.join(gone)}: there is nothing to compare")
    kept = [at for at, name in enumerate(names) if name not in candidates]
    parameters = study.parameters
    rounds = {"ours": parameters["epochs"], "lightgbm": parameters["trees"]}
    first = WARM_UP + parameters["train_days"]
    values = {name: np.zeros((2, parameters["n_seeds"])) for name in sweep.series}
    for number, seed in enumerate(seeds(study)):
        for world in worlds:
            scenario = Scenario(
                seed=seed,
                n_days=first + parameters["test_days"],
                population=population(parameters),
                frauds=WORLDS[world].frauds,
            )
            everything = Data.of(scenario, spec)
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
