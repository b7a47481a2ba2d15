import dataclasses
import datetime as dt
from functools import cache

import numpy as np
import pytest

from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate
from fraud_ml.transactions import normalise_labels, normalise_transactions

PEOPLE = Population(n_customers=300, n_terminals=400, radius=10)
SMALL = Scenario(n_days=40, population=PEOPLE, seed=1)

# Table of the data set that the handbook publishes (section 3.2, and its authors' repository).
PUBLISHED = {
    "transactions": 1_754_155,
    "transactions a day": 9_585,
    "frauds": 14_681,
    "scenario 1": 973,
    "scenario 2": 9_077,
    "scenario 3": 4_631,
    "percent fraud": 0.837,
    "mean amount": 53.63,
    "deviation of amounts": 42.33,
}


@cache
def figures(scenario):
    simulation = simulate(scenario)
    amount = simulation.transactions["amount"].to_numpy()
    kinds = np.bincount(simulation.truth["scenario"].to_numpy(), minlength=4)
    frauds = kinds[1:].sum()
    return {
        "transactions": len(amount),
        "transactions a day": len(amount) / scenario.n_days,
        "frauds": frauds,
        "scenario 1": kinds[1],
        "scenario 2": kinds[2],
        "scenario 3": kinds[3],
        "percent fraud": 100 * frauds / len(amount),
        "mean amount": amount.mean(),
        "deviation of amounts": amount.std(),
    }


def test_the_default_gives_the_published_figures_within_5_percent():
    assert figures(Scenario()) == pytest.approx(PUBLISHED, rel=0.05)


def test_the_mean_over_seeds_gives_the_published_figures_too():
    # One draw of 5,000 customers moves scenario 1 by up to 13 %, because it comes from the few
    # with the largest mean amounts. The published data is one such draw; so is our default seed.
    seeds = [figures(Scenario(seed=seed)) for seed in range(4)]
    mean = {name: np.mean([figure[name] for figure in seeds]) for name in PUBLISHED}
    scenario_1, scenario_3 = mean.pop("scenario 1"), mean.pop("scenario 3")
    assert scenario_1 == pytest.approx(PUBLISHED["scenario 1"], rel=0.10)
    assert scenario_3 == pytest.approx(PUBLISHED["scenario 3"], rel=0.05)
    assert mean == pytest.approx({name: PUBLISHED[name] for name in mean}, rel=0.03)
    # Of scenario 3 the handbook has 1.2 % less: a third of about 80 payments, rounded down. Of the
    # process as it is here, three episodes a day, two payments a day of which 3 % fall off it:
    days_of_episodes = sum(min(14, 183 - day) for day in range(183))
    assert scenario_3 == pytest.approx(3 * days_of_episodes * 2 * 0.969 / 3, rel=0.03)


@pytest.fixture(scope="module")
def small():
    return simulate(SMALL)


def test_the_same_seed_gives_the_same_tables_and_another_seed_others(small):
    again = simulate(SMALL)
    assert small.transactions.equals(again.transactions)
    assert small.labels.equals(again.labels)
    assert small.truth.equals(again.truth)
    assert small.customers.equals(again.customers)
    other = dataclasses.replace(SMALL, seed=2)
    assert not small.transactions.equals(simulate(other).transactions)


def test_the_tables_are_normal_and_about_the_same_transactions(small):
    transactions = normalise_transactions(small.transactions)
    assert transactions.equals(small.transactions)
    assert transactions.schema.equals(small.transactions.schema)
    assert normalise_labels(small.labels, transactions).equals(small.labels)
    assert small.truth["transaction_id"].equals(transactions["transaction_id"])


def test_a_label_comes_a_week_after_its_transaction_and_says_fraud_in_any_scenario(small):
    waits = {
        found - paid
        for found, paid in zip(
            small.labels["labelled_at"].to_pylist(),
            small.transactions["timestamp"].to_pylist(),
            strict=True,
        )
    }
    assert waits == {dt.timedelta(days=7)}
    assert (
        small.labels["is_fraud"].to_numpy().tolist()
        == (small.truth["scenario"].to_numpy() > 0).tolist()
    )


def test_every_payment_above_220_is_fraud(small):
    amount = small.transactions["amount"].to_numpy()
    scenario = small.truth["scenario"].to_numpy()
    assert (scenario[amount > 220] > 0).all()
    assert (amount[scenario == 1] > 220).all()
    assert (scenario == 1).any()


def test_a_compromised_terminal_has_only_frauds_for_28_days(small):
    day = np.array([t.toordinal() for t in small.transactions["timestamp"].to_pylist()])
    terminal = small.transactions["terminal_id"].to_numpy()
    scenario = small.truth["scenario"].to_numpy()
    checked = 0
    for one in np.unique(terminal[scenario == 2]):
        first = day[(terminal == one) & (scenario == 2)].min()
        # Compromised at the latest on the day of its first fraud, at the earliest after its last
        # honest payment before; so from that fraud on there are none but frauds until then + 28.
        honest = day[(terminal == one) & (scenario == 0) & (day < first)]
        if len(honest):
            until = honest.max() + 28
            span = (terminal == one) & (day >= first) & (day <= until)
            assert (scenario[span] > 0).all()
            checked += 1
    assert checked > 10


def test_the_hidden_customers_are_those_that_pay(small):
    customer = small.transactions["customer_id"].to_numpy()
    honest = small.truth["scenario"].to_numpy() == 0
    hidden = small.customers
    assert hidden["customer_id"].to_pylist() == list(range(PEOPLE.n_customers))
    n_payments = np.bincount(customer, minlength=PEOPLE.n_customers)
    expected = hidden["payments_a_day"].to_numpy() * SMALL.n_days
    assert n_payments.sum() == pytest.approx(
        expected.sum() * 0.969, rel=0.02
    )  # some fall off a day
    total = np.bincount(
        customer[honest], small.transactions["amount"].to_numpy()[honest], PEOPLE.n_customers
    )
    busy = n_payments > 100
    mean = total[busy] / np.bincount(customer[honest], minlength=PEOPLE.n_customers)[busy]
    ratio = mean / hidden["mean_amount"].to_numpy()[busy]
    assert ratio.mean() == pytest.approx(1.03, abs=0.03)  # redrawn negative amounts lift it


def test_places_and_amounts_are_in_their_ranges(small):
    transactions = small.transactions
    assert transactions["customer_id"].to_numpy().max() < PEOPLE.n_customers
    assert transactions["terminal_id"].to_numpy().max() < PEOPLE.n_terminals
    amount = transactions["amount"].to_numpy()
    assert (amount >= 0).all()
    assert (amount == np.round(amount, 2)).all()
    days = {t.date() for t in transactions["timestamp"].to_pylist()}
    assert days == {SMALL.start + dt.timedelta(days=d) for d in range(SMALL.n_days)}


def test_a_customer_uses_only_terminals_in_its_radius(small):
    used = {}
    for customer, terminal in zip(
        small.transactions["customer_id"].to_pylist(),
        small.transactions["terminal_id"].to_pylist(),
        strict=True,
    ):
        used.setdefault(customer, set()).add(terminal)
    # A circle of radius 10 on a map of 100 x 100 holds 3.1 % of 400 terminals: 12.6.
    assert 5 < np.mean([len(terminals) for terminals in used.values()]) < 13


def test_terminals_out_of_all_reach_are_refused():
    people = Population(n_customers=3, n_terminals=2, radius=1e-6)
    with pytest.raises(ValueError, match="no customer has a terminal in reach"):
        simulate(Scenario(population=people))
