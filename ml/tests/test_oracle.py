import dataclasses
import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from fraud_ml.calibration import calibration_bins, expected_calibration_error
from fraud_ml.metrics import average_precision, card_precision_at_k, roc_auc
from fraud_ml.oracle import Knowledge, oracle_scores
from fraud_ml.scenario import Burst, Labelling, Population, Rings, Scenario, Season
from fraud_ml.simulator import Simulation, simulate
from fraud_ml.splits import prequential_split

# A tenth of the handbook's customers and terminals, and as many episodes: few rows, many frauds.
PEOPLE = Population(n_customers=500, n_terminals=1_000, radius=10)
SMALL = Scenario(n_days=90, population=PEOPLE, seed=3)
KNOWLEDGE = [Knowledge(scenarios=s, cents=c) for s in (True, False) for c in (True, False)]


@pytest.fixture(scope="module")
def small():
    return simulate(SMALL)


def is_fraud(simulation):
    return simulation.labels["is_fraud"].to_numpy()


def seconds(simulation):
    return simulation.transactions["timestamp"].cast(pa.int64()).to_numpy() // 1_000_000


def replace(table, **columns):
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(name), [pa.array(values)])
    return table


def with_another_future(simulation, last, rng):
    """All payments after row `last`, and all labels after its time, at random."""
    n = simulation.transactions.num_rows
    later = np.arange(n) > last
    unknown = seconds(simulation) + 7 * 86_400 > seconds(simulation)[last]
    table = simulation.transactions
    shuffled = {
        "customer_id": rng.integers(0, PEOPLE.n_customers, n),
        "terminal_id": rng.integers(0, PEOPLE.n_terminals, n),
        "amount": np.round(rng.uniform(0, 500, n), 2),
    }
    scenario = simulation.truth["scenario"].to_numpy()
    guessed = rng.integers(0, 4, n).astype(np.int8)
    return dataclasses.replace(
        simulation,
        transactions=replace(
            table, **{k: np.where(later, v, table[k].to_numpy()) for k, v in shuffled.items()}
        ),
        truth=replace(simulation.truth, scenario=np.where(unknown, guessed, scenario)),
    )


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_no_score_changes_when_the_future_does(small, knowledge):
    rng = np.random.default_rng(0)
    before = oracle_scores(small, SMALL, knowledge)
    for last in rng.integers(0, len(before), 3):
        rewritten = with_another_future(small, last, rng)
        after = oracle_scores(rewritten, SMALL, knowledge)
        np.testing.assert_allclose(after[: last + 1], before[: last + 1], atol=1e-9)
        assert np.abs(after[last + 1 :] - before[last + 1 :]).max() > 0.1
        cut = Simulation(
            *(t.slice(0, last + 1) for t in (small.transactions, small.labels, small.truth)),
            small.customers,
        )
        np.testing.assert_allclose(
            oracle_scores(cut, SMALL, knowledge), before[: last + 1], atol=1e-9
        )


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_scores_are_the_share_of_frauds(small, knowledge):
    score = oracle_scores(small, SMALL, knowledge)
    fraud = is_fraud(small)
    assert score.mean() == pytest.approx(fraud.mean(), rel=0.05)
    assert expected_calibration_error(fraud, score) < 0.006
    bins = calibration_bins(fraud, score, n_bins=5, binning="width")
    deviation = np.sqrt(bins.mean_score * (1 - bins.mean_score) / bins.count)
    assert (np.abs(bins.mean_score - bins.fraud_rate) < 3 * deviation).all()


def test_an_amount_above_220_is_fraud_for_sure(small):
    score = oracle_scores(small, SMALL)
    assert (score[small.transactions["amount"].to_numpy() > 220] == 1).all()


def test_later_labels_and_less_knowledge_never_help(small):
    fraud = is_fraud(small)

    def ap(scenario=SMALL, **knowledge):
        score = oracle_scores(small, scenario, Knowledge(**knowledge))
        return average_precision(fraud, score)

    waits = [ap(dataclasses.replace(SMALL, labels=Labelling(delay_days=d))) for d in (0, 2, 7, 30)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] - waits[-1] > 0.1
    assert ap() >= ap(cents=False) > 0.5
    assert ap() >= ap(scenarios=False) - 0.002  # the difference is small, and chance has a part


def test_the_limit_of_the_default_simulation():
    scenario = Scenario()
    simulation = simulate(scenario)
    score, fraud = oracle_scores(simulation, scenario), is_fraud(simulation)
    test = prequential_split(
        simulation.transactions, simulation.labels, train_start=dt.date(2018, 7, 25)
    ).test
    day = seconds(simulation)[test] // 86_400
    customer = simulation.transactions["customer_id"].to_numpy()[test]
    assert average_precision(fraud[test], score[test]) == pytest.approx(0.793, abs=0.001)
    assert roc_auc(fraud[test], score[test]) == pytest.approx(0.896, abs=0.001)
    cp100 = card_precision_at_k(day, customer, fraud[test], score[test])
    assert cp100 == pytest.approx(0.313, abs=0.002)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"frauds": (*SMALL.frauds, Rings())}, "frauds"),
        ({"seasons": (Season(),), "bursts": (Burst(),)}, "seasons, bursts"),
        ({"population": dataclasses.replace(PEOPLE, newcomers=0.1)}, "newcomers"),
        ({"labels": Labelling(missed=0.1)}, "wrong labels"),
    ],
)
def test_of_any_other_process_the_oracle_is_not_asked(small, changes, what):
    with pytest.raises(ValueError, match=f"this scenario has other: {what}$"):
        oracle_scores(small, dataclasses.replace(SMALL, **changes))
