"""How average precision and the cards that are found depend on the days that are trained on."""

from __future__ import annotations

import datetime as dt

import numpy as np

from batch_proc.fold import CARDS_A_DAY, Days, Fold, make_folds
from batch_proc.history import History
from experiments.contenders import CONTENDERS
from experiments.study import Study
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.metrics import average_precision, cards_by_day
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate

LENGTHS = ("few", "some", "many")


def run(study: Study) -> None:
    """Trains on few, some and many days before the same seven days of labels; tests on one week."""
    folds = _folds(study)
    # Who was defrauded while a model trained is left out of its test: here, of all tests.
    common = np.logical_and.reduce(
        [np.isin(folds[0].test.number, fold.test.number) for fold in folds]
    )
    kept = folds[0].test.number[common]
    for contender in CONTENDERS:
        if contender.name not in study.parameters["models"]:
            continue
        for length, fold in zip(LENGTHS, folds, strict=True):
            score = contender.fit(fold.train, contender.start, study.seed)(fold.test.features)
            here = np.isin(fold.test.number, kept)
            name = f"{contender.name}_{length}"
            test = fold.test
            study.log(f"{name}_ap", average_precision(test.is_fraud[here], score[here]))
            found = cards_by_day(
                test.day[here], test.customer[here], test.is_fraud[here], score[here], k=CARDS_A_DAY
            )
            for day, cards in zip(found.day, found.found, strict=True):
                since = dt.date(1970, 1, 1) + dt.timedelta(days=int(day))
                study.log(f"{name}_cards", int(cards), day=since)


def _folds(study: Study) -> list[Fold]:
    """A fold for each length, tested on the last week."""
    customers = study.parameters["customers"]
    simulation = simulate(
        Scenario(
            n_days=study.parameters["days"],
            seed=study.seed,
            population=Population(n_customers=customers, n_terminals=2 * customers, radius=12),
        )
    )
    history = History(simulation.transactions, simulation.labels)
    lengths = study.parameters["train_days"]
    return make_folds(
        history,
        [Days.latest(history.last_day, train=length, delay=7, test=7) for length in lengths],
        DEFAULT_SPEC,
    )
