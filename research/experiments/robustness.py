"""What the robustness studies share: a small simulated world, and models that are trained in it.

A study's world has the handbook's numbers of frauds a day among fewer people, so that a day has
more frauds to measure on: with the 1,500 customers of most studies about 2.5 % of the payments are
fraud, three times the handbook's share. All payments of the test days are tested, known compromised
customers too, so that settings are compared on the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from batch_proc.fold import Rows
from experiments.contenders import CONTENDERS, OURS, Score
from experiments.study import Study
from fraud_ml.default_specs import default_spec
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import Simulation, simulate

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WARM_UP = 40
"""Days before anything is trained: the longest window of most features, and a delay."""
REVIEWED = 0.02
"""Share of a day's payments that somebody can look at."""


def population(parameters: Mapping[str, Any], **changes: Any) -> Population:
    """As many customers and terminals as ``parameters`` say, as dense as the handbook's."""
    n_terminals = parameters["n_terminals"]
    usual = Population()
    return Population(
        n_customers=parameters["n_customers"],
        n_terminals=n_terminals,
        radius=usual.radius * math.sqrt(usual.n_terminals / n_terminals),
        **changes,
    )


def seeds(study: Study) -> range:
    """Of the simulations of a study, and of the models in them."""
    return range(study.seed, study.seed + study.parameters["n_seeds"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """A simulation with its features: arrays are by row, N of them."""

    scenario: Scenario
    simulation: Simulation
    features: npt.NDArray[np.float32]
    """Shape (N, F)."""
    day: Ints
    """0 is the first."""
    customer: Ints
    said: Bools
    """What the labels say."""
    is_fraud: Bools
    """What is so."""
    kind: npt.NDArray[np.int8]
    """0 honest, or the number of the fraud in the scenario."""

    @classmethod
    def of(cls, scenario: Scenario, spec: FeatureSpec | None = None) -> Data:
        """The data of a scenario, with features that wait for its labels."""
        simulation = simulate(scenario)
        spec = spec or default_spec(label_delay=scenario.labels.delay)
        transactions = simulation.transactions
        start = np.datetime64(scenario.start, "D")
        day = transactions["timestamp"].to_numpy().astype("datetime64[D]") - start
        kind = simulation.truth["scenario"].to_numpy()
        return cls(
            scenario=scenario,
            simulation=simulation,
            features=feature_matrix(compute_features(transactions, simulation.labels, spec)),
            day=day.astype(np.int64),
            customer=transactions["customer_id"].to_numpy(),
            said=simulation.labels["is_fraud"].to_numpy(),
            is_fraud=kind > 0,
            kind=kind,
        )

    def on(self, first: int, end: int) -> Ints:
        """The rows of the days from ``first`` until before ``end``."""
        return np.flatnonzero((self.day >= first) & (self.day < end))

    def labelled(self, today: int, days: int) -> Ints:
        """The rows of the last ``days`` days whose labels are all known when ``today`` begins."""
        end = today - math.ceil(self.scenario.labels.delay_days)
        return self.on(end - days, end)


def fit(data: Data, rows: Ints, parameters: Mapping[str, Any], seed: int) -> Score:
    """The contender of the parameters, trained on the labels of ``rows``: :func:`fit_rows`."""
    return fit_rows(
        Rows(
            features=data.features[rows],
            is_fraud=data.said[rows],
            customer=data.customer[rows].astype(np.int32),
            day=data.day[rows].astype(np.int32),
            number=rows,
        ),
        parameters,
        seed,
    )


def fit_rows(rows: Rows, parameters: Mapping[str, Any], seed: int) -> Score:
    """The contender ``model`` of the parameters, trained.

    Its settings are those that its search starts with, but for ``rounds``: what changes in a study
    is the data. It runs on one thread, so that the same seed gives the same scores.
    """
    name, rounds = parameters["model"], parameters["rounds"]
    torch.set_num_threads(1)
    contender = next(it for it in CONTENDERS if it.name == name)
    of_ours = name == OURS.name
    changed = {"max_epochs": rounds} if of_ours else {"n_estimators": rounds, "n_jobs": 1}
    return contender.fit(rows, {**contender.start, **changed}, seed)


def reviewed(day: Ints, score: npt.NDArray[np.floating], share: float = REVIEWED) -> Bools:
    """Which payments are looked at: the highest scores of each day, this share. Shape ``(N,)``."""
    looked_at = np.zeros(len(day), dtype=bool)
    for one in np.unique(day):
        rows = np.flatnonzero(day == one)
        most = max(round(share * len(rows)), 1)
        looked_at[rows[np.argsort(-score[rows], kind="stable")[:most]]] = True
    return looked_at


def share_of(found: Bools, among: Bools) -> float:
    """The share of ``among`` that is ``found``; NaN where there are none."""
    return float(found[among].mean()) if among.any() else math.nan
