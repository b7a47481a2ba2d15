"""By the handbook's test, how good is the best score that anyone could give?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from batch_proc.fold import Fold, make_folds
from batch_proc.history import History
from experiments.contenders import CONTENDERS
from experiments.protocol import weekly
from experiments.robustness import population, seeds
from experiments.settings import read_settings
from experiments.study import Study
from experiments.sweep import log_values
from experiments.table import METRICS, measure
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.oracle import Knowledge, oracle_scores
from fraud_ml.scenario import Scenario
from fraud_ml.simulator import simulate

Floats = npt.NDArray[np.float64]

ORACLES = {
    "oracle": Knowledge(),
    "no_cents": Knowledge(cents=False),
    "no_kinds": Knowledge(scenarios=False),
    "neither": Knowledge(cents=False, scenarios=False),
}
MODELS = ("ours", "xgboost", "lightgbm")
BASELINE = "neither"


def run(study: Study) -> None:
    """The folds of the handbook's test in simulations of its process, another seed each."""
    parameters = study.parameters
    first = Scenario().start + dt.timedelta(days=parameters["first_fold"])
    days = weekly(first, parameters["n_folds"])
    found = np.zeros((len(seeds(study)), len(ORACLES) + len(MODELS), len(METRICS)))
    for number, seed in enumerate(seeds(study)):
        scenario = Scenario(
            seed=seed,
            n_days=(days[-1].end - Scenario().start).days,
            population=population(parameters),
        )
        simulation = simulate(scenario)
        folds = make_folds(History(simulation.transactions, simulation.labels), days, DEFAULT_SPEC)
        known = [oracle_scores(simulation, scenario, it) for it in ORACLES.values()]
        found[number] = [
            *(_reached(folds, [score[fold.test.number] for fold in folds]) for score in known),
            *(_trained(model, folds, seed, quick=parameters["quick"]) for model in MODELS),
        ]
    by_who = dict(zip((*ORACLES, *MODELS), np.moveaxis(found, 1, 0), strict=True))
    for column, metric in enumerate(METRICS):
        baseline = by_who[BASELINE][:, column]
        for who, reached in by_who.items():
            log_values(study, f"{metric}_{who}", reached[:, column])
            if who != BASELINE:
                log_values(study, f"{metric}_{who}_change", reached[:, column] - baseline)


def _trained(model: str, folds: Sequence[Fold], seed: int, *, quick: bool) -> Floats:
    contender = next(it for it in CONTENDERS if it.name == model)
    settings = {**read_settings()[model], **(contender.quick or {} if quick else {})}
    scores = [contender.fit(it.train, settings, seed)(it.test.features) for it in folds]
    return _reached(folds, scores)


def _reached(folds: Sequence[Fold], scores: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """The metrics, the mean over the folds: shape (3,)."""
    by_fold = [measure(fold, score) for fold, score in zip(folds, scores, strict=True)]
    mean: Floats = np.mean(by_fold, axis=0)
    return mean
