"""A kind of fraud that nobody has seen begins: how soon is it found, if a model is retrained?"""

from __future__ import annotations

import numpy as np

from experiments.robustness import WARM_UP, Data, Floats, fit, population, reviewed, seeds, share_of
from experiments.study import Study
from experiments.sweep import Sweep, log_values
from fraud_ml.default_specs import DEFAULT_SPEC, default_spec
from fraud_ml.scenario import HANDBOOK_FRAUDS, Rings, Scenario

WEEKS = (1, 2, 3, 4, 5)
RINGS = len(HANDBOOK_FRAUDS) + 1
REVIEWED = 0.03  # of the payments, about as many as there are frauds, old and new
# What is going on at the terminal now: the default features see it when labels are out.
SPECS = {"default": DEFAULT_SPEC, "traffic": default_spec(traffic=True)}
SWEEP = Sweep(
    points={f"week_{week}": str(week) for week in WEEKS},
    series={
        "ring_recall_default_never": "rings, never retrained",
        "ring_recall_default_weekly": "rings, retrained weekly",
        "ring_recall_traffic_never": "rings, more features, never retrained",
        "ring_recall_traffic_weekly": "rings, more features, retrained weekly",
        "old_recall_traffic_weekly": "other frauds, with both",
    },
    title="Rings begin: what is found among 3 % of the payments",
    x="week since the first ring",
    y="share of the frauds found",
)


def run(study: Study) -> None:
    """Rings begin in the test; a model retrained each week learns of them when labels come."""
    first = WARM_UP + study.parameters["train_days"]
    shape = (len(WEEKS), study.parameters["n_seeds"])
    values = {
        f"{what}_{features}_{how}": np.zeros(shape)
        for what in ("ring_recall", "old_recall")
        for features in SPECS
        for how in ("never", "weekly")
    }
    for number, seed in enumerate(seeds(study)):
        rings = Rings(first_day=first, a_day=study.parameters["rings_a_day"])
        scenario = Scenario(
            seed=seed,
            n_days=first + 7 * len(WEEKS),
            population=population(study.parameters),
            frauds=(*HANDBOOK_FRAUDS, rings),
        )
        for features, spec in SPECS.items():
            for how, found in _found(Data.of(scenario, spec), study, first, seed).items():
                values[f"ring_recall_{features}_{how}"][:, number] = found[0]
                values[f"old_recall_{features}_{how}"][:, number] = found[1]
    SWEEP.finish(study, values)
    for features in SPECS:  # from the third week on labels of rings are out
        later = {how: values[f"ring_recall_{features}_{how}"][2:] for how in ("never", "weekly")}
        gain = (later["weekly"] - later["never"]).mean(axis=0)
        log_values(study, f"gain_of_retraining_{features}", gain)


def _found(data: Data, study: Study, first: int, seed: int) -> dict[str, Floats]:
    """Never and weekly retrained: the shares of rings and of others found, shape (2, weeks)."""
    train = study.parameters["train_days"]
    shares = {how: np.zeros((2, len(WEEKS))) for how in ("never", "weekly")}
    before = fit(data, data.labelled(first, train), study.parameters, seed)
    for at in range(len(WEEKS)):
        today = first + 7 * at
        rows = data.on(today, today + 7)
        again = data.labelled(today, train)
        weekly = fit(data, again, study.parameters, seed) if at else before
        kind = data.kind[rows]
        for how, model in (("never", before), ("weekly", weekly)):
            found = reviewed(data.day[rows], model(data.features[rows]), REVIEWED)
            shares[how][0, at] = share_of(found, kind == RINGS)
            shares[how][1, at] = share_of(found, (kind > 0) & (kind < RINGS))
    return shares
