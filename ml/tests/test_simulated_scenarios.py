"""Composed scenarios: each part does what it says, and nothing else changes."""

import dataclasses
import datetime as dt
import hashlib
from itertools import pairwise

import numpy as np
import pytest

from fraud_ml.policy import Decision
from fraud_ml.scenario import (
    Adversary,
    Burst,
    CompromisedCustomers,
    CompromisedTerminals,
    Labelling,
    LargeAmounts,
    Population,
    Rings,
    Scenario,
    Season,
    expected_rows,
)
from fraud_ml.simulator import EPISODE_SCHEMA, TRUTH_SCHEMA, SimulatedWorld, simulate
from fraud_ml.transactions import normalise_labels, normalise_transactions

PEOPLE = Population(n_customers=500, n_terminals=800, radius=10)
SMALL = Scenario(n_days=40, population=PEOPLE, seed=1)
RING = Rings(first_day=20, a_day=0.5, customers=10, terminals=2, days=5)


def changed(scenario=SMALL, **changes):
    return dataclasses.replace(scenario, **changes)


def column(table, name):
    return table[name].to_numpy()


def days_of(simulation, scenario=SMALL):
    start = np.datetime64(scenario.start, "D")
    return (column(simulation.transactions, "timestamp").astype("datetime64[D]") - start).astype(
        int
    )


def of_fraud(simulation, name):
    return np.array(simulation.truth["fraud"].to_pylist()) == name


@pytest.fixture(scope="module")
def small():
    return simulate(SMALL)


def test_a_seed_still_gives_the_bytes_that_it_gave():
    simulation = simulate(changed(frauds=(*SMALL.frauds, RING)))
    amount, scenario = (
        column(simulation.transactions, "amount"),
        column(simulation.truth, "scenario"),
    )
    digest = hashlib.sha256(amount.tobytes() + scenario.tobytes()).hexdigest()
    assert digest == "1352a7f559a29d46b440b0d5add59725f17e5e834a676844ff57d835ae9a4c36"


def test_tables_are_normal_and_about_the_same_transactions(small):
    transactions = normalise_transactions(small.transactions)
    assert transactions.equals(small.transactions)
    assert normalise_labels(small.labels, transactions).equals(small.labels)
    assert small.truth.schema.equals(TRUTH_SCHEMA)
    assert small.truth["transaction_id"].equals(transactions["transaction_id"])
    assert column(transactions, "transaction_id").tolist() == list(range(transactions.num_rows))
    assert transactions.num_rows == pytest.approx(expected_rows(SMALL), rel=0.1)
    assert set(days_of(small)) == set(range(40))
    names = ["honest", "large_amount", "terminal", "customer"]
    assert small.truth["fraud"].to_pylist() == [
        names[number] for number in small.truth["scenario"].to_pylist()
    ]


def test_days_come_one_by_one_as_in_one_table_and_the_same_seed_gives_the_same(small):
    days = list(SimulatedWorld(SMALL).days())
    assert len(days) == 40
    start = sum(day.transactions.num_rows for day in days[:25])
    n_rows = days[25].transactions.num_rows
    for name in ("transactions", "labels", "truth"):
        assert getattr(days[25], name).equals(getattr(small, name).slice(start, n_rows))
    other = simulate(changed(seed=2))
    assert not other.transactions.equals(small.transactions)


def test_an_added_fraud_leaves_all_other_payments_as_they_were(small):
    with_ring = simulate(changed(frauds=(*SMALL.frauds, RING)))
    others = ~of_fraud(with_ring, "ring")
    assert 100 < (~others).sum() < 2_000
    for name in ("timestamp", "customer_id", "terminal_id", "amount"):
        kept = column(with_ring.transactions, name)[others]
        np.testing.assert_array_equal(kept, column(small.transactions, name))


def test_a_ring_shares_terminals_begins_on_its_day_and_pays_more():
    world = SimulatedWorld(changed(frauds=(RING,)))
    days = list(world.days())
    rows = [row for day in days for row in zip(*(
        table[name].to_pylist()
        for table, name in ((day.truth, "episode"), (day.transactions, "customer_id"),
                            (day.transactions, "terminal_id"), (day.transactions, "timestamp"))
    ), strict=True) if row[0] is not None]  # fmt: skip
    episodes = {it["episode"]: it for it in world.episodes().to_pylist()}
    assert min(it["first_day"] for it in episodes.values()) >= SMALL.start + dt.timedelta(days=20)
    assert len(rows) > 100
    for number, customer, terminal, time in rows:
        ring = episodes[number]
        assert customer in ring["customers"]
        assert terminal in ring["terminals"]
        assert ring["first_day"] <= time.date() < ring["end_day"]
        assert (len(ring["customers"]), len(ring["terminals"])) == (10, 2)


def test_episodes_say_whose_frauds_they_are(small):
    world = SimulatedWorld(SMALL)
    for _ in world.days():
        pass
    episodes = world.episodes()
    assert episodes.schema.equals(EPISODE_SCHEMA)
    kinds = {name: [e for e in episodes.to_pylist() if e["fraud"] == name] for name in
             ("large_amount", "terminal", "customer")}  # fmt: skip
    assert [len(kinds[name]) for name in kinds] == [0, 80, 120]
    terminal = column(small.transactions, "terminal_id")
    at = of_fraud(small, "terminal")
    first, day = kinds["terminal"][10], days_of(small)
    begin = (first["first_day"] - SMALL.start).days
    here = (terminal == first["terminals"][0]) & (day >= begin) & (day < begin + 28)
    assert here.any()
    assert column(small.labels, "is_fraud")[here].all()
    assert at.sum() > 200


def test_seasons_bursts_and_newcomers_change_the_number_of_payments():
    scenario = changed(
        seasons=(Season(period_days=20, amplitude=0.9, peak_day=0),),
        bursts=(Burst(first_day=30, days=1, payments=10),),
    )
    n_payments = np.bincount(days_of(simulate(scenario)))
    assert n_payments[30] == pytest.approx(10 * 0.1 * n_payments[20] / 1.9, rel=0.2)
    assert n_payments[0] > 10 * n_payments[10]
    new = changed(population=dataclasses.replace(PEOPLE, newcomers=0.8))
    simulation = simulate(new)
    assert simulation.transactions.num_rows == pytest.approx(expected_rows(new), rel=0.1)
    first = simulation.customers["first_day"].to_numpy().astype("datetime64[D]")
    customer = column(simulation.transactions, "customer_id")
    day = column(simulation.transactions, "timestamp").astype("datetime64[D]")
    assert (day >= first[customer]).all()
    assert np.mean(first > np.datetime64(SMALL.start)) == pytest.approx(0.8, abs=0.05)


def test_a_burst_of_frauds_begins_more_episodes():
    world = SimulatedWorld(changed(bursts=(Burst(first_day=10, days=1, frauds=5),)))
    for _ in world.days():
        pass
    begun = [(it["fraud"], it["first_day"]) for it in world.episodes().to_pylist()]
    on = SMALL.start + dt.timedelta(days=10)
    assert (begun.count(("terminal", on)), begun.count(("customer", on))) == (10, 15)


def test_labels_come_late_and_some_are_wrong_while_the_truth_is_not(small):
    labelling = Labelling(delay_days=1.5, missed=0.25, false_alarms=0.5)
    simulation = simulate(changed(labels=labelling))
    assert simulation.truth.equals(small.truth)
    wait = column(simulation.labels, "labelled_at") - column(simulation.transactions, "timestamp")
    assert set(wait) == {np.timedelta64(36, "h")}
    true, said = column(small.labels, "is_fraud"), column(simulation.labels, "is_fraud")
    assert said[true].mean() == pytest.approx(0.75, abs=0.05)
    assert (said & ~true).sum() == pytest.approx(0.5 * true.sum(), rel=0.15)


def decline_all(transactions):
    return np.full(transactions.num_rows, Decision.DECLINE, dtype=np.int8)


def decline_none(transactions):
    return np.full(transactions.num_rows, Decision.REVIEW, dtype=np.int8)


ADVERSARIES = changed(
    frauds=(
        LargeAmounts(),
        CompromisedTerminals(adversary=Adversary(patience=3)),
        CompromisedCustomers(adversary=Adversary(moves=False, amount_factor=0.5)),
        dataclasses.replace(RING, adversary=Adversary(amount_factor=0.9)),
    )
)


def test_who_is_not_declined_changes_nothing():
    plain = changed(frauds=(*SMALL.frauds, RING))
    for policy in (None, decline_none):
        simulation = simulate(ADVERSARIES, policy)
        assert simulation.transactions.equals(simulate(plain).transactions)
    assert simulate(plain, decline_all).transactions.equals(
        simulate(plain).transactions
    )  # nor do fraudsters who do not adapt


def test_a_thief_who_is_declined_asks_for_less_from_the_next_day_on():
    world = SimulatedWorld(ADVERSARIES)
    for _ in world.days(decline_all):
        pass
    changes = [it for it in world.episodes().to_pylist() if it["fraud"] == "customer"]
    most = max(changes, key=lambda it: sum(e["episode"] == it["episode"] for e in changes))
    own = [it for it in changes if it["episode"] == most["episode"]]
    assert len(own) > 4
    assert [it["factor"] for it in own[:4]] == [5, 2.5, 1.25, 1]
    assert len({tuple(it["customers"]) for it in own}) == 1
    first_days = [it["first_day"] for it in own]
    assert first_days == sorted(set(first_days))


@pytest.mark.parametrize(("fraud", "patience"), [("terminal", 3), ("ring", 1)])
def test_who_is_declined_often_enough_goes_on_at_other_terminals(fraud, patience):
    world = SimulatedWorld(ADVERSARIES)
    declined_at, used = {}, {}
    for day in world.days(decline_all):
        for name, episode, terminal in zip(
            day.truth["fraud"].to_pylist(), day.truth["episode"].to_pylist(),
            day.transactions["terminal_id"].to_pylist(), strict=True,
        ):  # fmt: skip
            if name == fraud:
                today = day.transactions["timestamp"][0].as_py().date()
                declined_at.setdefault(episode, []).append(today)
                used.setdefault(episode, set()).add(terminal)
    changes = {}
    for it in world.episodes().to_pylist():
        if it["fraud"] == fraud:
            changes.setdefault(it["episode"], []).append(it)
    assert sum(len(its) > 1 for its in changes.values()) > 5
    for number, its in changes.items():
        for before, after in pairwise(its):
            assert before["terminals"] != after["terminals"]
            assert before["customers"] == after["customers"]  # of a ring, the members stay
            since = [
                d for d in declined_at[number] if before["first_day"] <= d < after["first_day"]
            ]
            assert len(since) >= patience
            assert since[-1] == after["first_day"] - dt.timedelta(days=1)
        assert used.get(number, set()) <= {t for it in its for t in it["terminals"]}


def test_a_policy_sees_only_days_that_are_over():
    seen = []

    def decide(transactions):
        seen.append(transactions["timestamp"][-1].as_py().date())
        return decline_none(transactions)

    for number, day in enumerate(SimulatedWorld(SMALL).days(decide)):
        assert len(seen) == number
        assert day.transactions["timestamp"][0].as_py().date() not in seen


def test_a_policy_must_decide_on_each_transaction():
    with pytest.raises(
        ValueError, match=r"one decision a transaction, \d+ on day 0, got shape \(1,"
    ):
        simulate(SMALL, lambda _: np.zeros(1, dtype=np.int8))
