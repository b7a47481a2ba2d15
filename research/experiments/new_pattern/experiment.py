"""A kind of fraud that nobody has seen begins: how soon is it found, if a model is retrained?"""

from __future__ import annotations

import datetime as dt

import numpy as np

from experiments.robustness import WARM_UP, Data, fit, population, reviewed, seeds, share_of
from experiments.study import Study
from experiments.sweep import Sweep
from fraud_ml.scenario import HANDBOOK_FRAUDS, Rings, Scenario

WEEKS = (1, 2, 3, 4, 5)
RINGS = len(HANDBOOK_FRAUDS) + 1
SWEEP = Sweep(
    points={f"week_{week}": str(week) for week in WEEKS},
    series={
        "ring_recall_weekly": "rings, retrained weekly",
        "ring_recall_never": "rings, never retrained",
        "old_recall_weekly": "other frauds, retrained weekly",
        "old_recall_never": "other frauds, never retrained",
    },
    title="Rings begin: what is found among 3 % of the payments",
    x="week since the first ring",
    y="share of the frauds found",
)
REVIEWED = 0.03  # about as many as there are frauds, old and new


def run(study: Study) -> None:
    """Rings begin in the test; a model retrained each week learns of them when labels come."""
    train = study.parameters["train_days"]
    first = WARM_UP + train
    shape = (len(WEEKS), study.parameters["n_seeds"])
    values = {name: np.zeros(shape) for name in SWEEP.series}
    by_day: dict[tuple[str, int], list[float]] = {}
    for number, seed in enumerate(seeds(study)):
        rings = Rings(first_day=first, a_day=study.parameters["rings_a_day"])
        scenario = Scenario(
            seed=seed,
            n_days=first + 7 * len(WEEKS),
            population=population(study.parameters),
            frauds=(*HANDBOOK_FRAUDS, rings),
        )
        data = Data.of(scenario)
        before = fit(data, data.labelled(first, train), study.parameters, seed)
        for at, week in enumerate(WEEKS):
            today = first + 7 * (week - 1)
            rows = data.on(today, today + 7)
            again = data.labelled(today, train)
            weekly = fit(data, again, study.parameters, seed) if at else before
            for how, model in (("never", before), ("weekly", weekly)):
                found = reviewed(data.day[rows], model(data.features[rows]), REVIEWED)
                kind = data.kind[rows]
                old = (kind > 0) & (kind < RINGS)
                values[f"ring_recall_{how}"][at, number] = share_of(found, kind == RINGS)
                values[f"old_recall_{how}"][at, number] = share_of(found, old)
                for day in range(today, today + 7):
                    here = (kind == RINGS) & (data.day[rows] == day)
                    by_day.setdefault((how, day), []).append(share_of(found, here))
    SWEEP.finish(study, values)
    for (how, day), shares in by_day.items():
        date = Scenario().start + dt.timedelta(days=day)
        study.log(f"ring_recall_{how}", float(np.mean(shares)), day=date)
