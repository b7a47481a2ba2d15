"""How much less does a model know of customers who have just begun to pay?"""

from __future__ import annotations

import numpy as np

from experiments.robustness import WARM_UP, Data, Ints, fit, population, reviewed, seeds, share_of
from experiments.study import Study
from experiments.sweep import Sweep, log_values
from fraud_ml.metrics import average_precision
from fraud_ml.scenario import HANDBOOK_FRAUDS, Scenario

TENURES = {"0_2d": (0, 3), "3_7d": (3, 8), "8_30d": (8, 31), "31d": (31, 10**6)}
TERMINAL, CUSTOMER = (
    [fraud.name for fraud in HANDBOOK_FRAUDS].index(name) + 1 for name in ("terminal", "customer")
)
SWEEP = Sweep(
    points={"0_2d": "0-2", "3_7d": "3-7", "8_30d": "8-30", "31d": "31 or more"},
    series={
        "ap": "average precision",
        "recall": "found: all frauds",
        "terminal_recall": "found: compromised terminals",
        "customer_recall": "found: stolen cards",
    },
    baseline="31d",
    title="New customers: what is found among 3 % of the payments",
    x="days since the customer began to pay",
    y="share found; average precision",
)
REVIEWED = 0.03  # of the day's payments of all customers, about as many as there are frauds


def run(study: Study) -> None:
    """Most customers begin on some day; one model for all, tested by how long each is known."""
    train, test = study.parameters["train_days"], study.parameters["test_days"]
    first = WARM_UP + train
    shape = (len(TENURES), study.parameters["n_seeds"])
    values = {name: np.zeros(shape) for name in SWEEP.series}
    n_stolen = np.zeros(shape)
    for number, seed in enumerate(seeds(study)):
        scenario = Scenario(
            seed=seed,
            n_days=first + test,
            population=population(study.parameters, newcomers=study.parameters["newcomers"]),
        )
        data = Data.of(scenario)
        rows = data.on(first, first + test)
        model = fit(data, data.labelled(first, train), study.parameters, seed)
        score = model(data.features[rows])
        found = reviewed(data.day[rows], score, REVIEWED)
        tenure = _tenure(data)[rows]
        fraud, kind = data.is_fraud[rows], data.kind[rows]
        for at, (least, end) in enumerate(TENURES.values()):
            here = (tenure >= least) & (tenure < end)
            values["ap"][at, number] = average_precision(fraud[here], score[here])
            values["recall"][at, number] = share_of(found, fraud & here)
            values["customer_recall"][at, number] = share_of(found, (kind == CUSTOMER) & here)
            values["terminal_recall"][at, number] = share_of(found, (kind == TERMINAL) & here)
            n_stolen[at, number] = ((kind == CUSTOMER) & here).sum()
    SWEEP.finish(study, values)
    for at, bucket in enumerate(TENURES):
        log_values(study, f"customer_frauds_{bucket}", n_stolen[at])


def _tenure(data: Data) -> Ints:
    """Of each row, days since its customer began; who was there at the start counts from there."""
    start = np.datetime64(data.scenario.start, "D")
    began = data.simulation.customers["first_day"].to_numpy().astype("datetime64[D]") - start
    days: Ints = data.day - began.astype(np.int64)[data.customer]
    return days
