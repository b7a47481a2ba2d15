import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fraud_ml.policy import (
    CapacityPolicy,
    CostPolicy,
    Decision,
    DecisionPolicy,
    fit_capacity_policy,
    fit_cost_policy,
)

MONEY = st.floats(0, 1e6)
CHANCE = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1))
POLICIES = st.one_of(
    st.tuples(CHANCE, CHANCE).map(
        lambda two: CapacityPolicy(review_above=min(two), decline_above=max(two))
    ),
    st.builds(CostPolicy, review_price=MONEY, wrong_decline_cost=MONEY),
)
PAYMENTS = st.lists(
    st.tuples(
        st.integers(17_000, 17_002),  # day
        st.integers(0, 5),  # customer
        st.booleans(),
        CHANCE,
        st.floats(0, 500),  # amount
    ),
    min_size=1,
    max_size=60,
)


def columns(payments):
    return tuple(np.array(column) for column in zip(*payments, strict=True))


def reviewed_cards_a_day(policy, day, customer, score, amount):
    reviewed = policy.decide(score, amount) == Decision.REVIEW
    return len(set(zip(day[reviewed], customer[reviewed], strict=True))) / len(set(day))


@given(POLICIES, st.lists(CHANCE, min_size=2, max_size=50), MONEY)
def test_a_higher_score_never_gets_a_milder_decision(policy, scores, amount):
    score = np.sort(np.array(scores))
    decision = policy.decide(score, np.full(len(score), amount))
    assert (np.diff(decision) >= 0).all()
    assert decision.dtype == np.int8
    single = [policy.decide(score[[i]], np.array([amount]))[0] for i in range(len(score))]
    assert decision.tolist() == single


@given(POLICIES)
def test_a_policy_survives_json(policy):
    assert DecisionPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


@given(PAYMENTS, MONEY, MONEY)
def test_the_cost_policy_takes_the_cheapest_decision(payments, review_price, wrong_decline_cost):
    _, _, _, score, amount = columns(payments)
    policy = CostPolicy(review_price=review_price, wrong_decline_cost=wrong_decline_cost)
    costs = np.stack(
        [score * amount, np.full(len(score), review_price), (1 - score) * wrong_decline_cost]
    )
    taken = costs[policy.decide(score, amount), np.arange(len(score))]
    assert (taken == costs.min(axis=0)).all()


@given(PAYMENTS, st.integers(1, 4), st.sampled_from([None, 0.5, 0.9]))
def test_the_capacity_policy_keeps_to_its_capacity(payments, cards_a_day, decline_precision):
    day, customer, is_fraud, score, amount = columns(payments)
    assume(is_fraud.any())
    policy = fit_capacity_policy(
        day,
        customer,
        is_fraud,
        score,
        cards_a_day=cards_a_day,
        decline_precision=decline_precision,
    )
    assert reviewed_cards_a_day(policy, day, customer, score, amount) <= cards_a_day
    declined = policy.decide(score, amount) == Decision.DECLINE
    if declined.any():
        assert is_fraud[declined].mean() >= decline_precision


@given(PAYMENTS, st.integers(1, 4), st.floats(0, 20), st.floats(0, 100))
def test_the_cost_policy_keeps_to_its_capacity(payments, cards_a_day, review_cost, decline_cost):
    day, customer, _, score, amount = columns(payments)
    policy = fit_cost_policy(
        day,
        customer,
        score,
        amount,
        review_cost=review_cost,
        wrong_decline_cost=decline_cost,
        cards_a_day=cards_a_day,
    )
    assert reviewed_cards_a_day(policy, day, customer, score, amount) <= cards_a_day
    assert policy.review_price >= review_cost


def plain_price(day, customer, worth, cards_a_day):
    """What the first card is worth that finds no room, looked at in the order of their worth."""
    best = {}
    for d, c, w in zip(day, customer, worth, strict=True):
        best[d, c] = max(best.get((d, c), 0.0), w)
    room = cards_a_day * len(set(day))
    return sorted(best.values(), reverse=True)[room] if len(best) > room else 0.0


@given(PAYMENTS, st.integers(1, 4))
def test_the_price_is_what_the_first_card_without_room_is_worth(payments, cards_a_day):
    day, customer, _, score, amount = columns(payments)
    costs = {"review_cost": 0.0, "wrong_decline_cost": 1e9}
    policy = fit_cost_policy(day, customer, score, amount, cards_a_day=cards_a_day, **costs)
    worth = np.minimum(score * amount, (1 - score) * 1e9)
    assert policy.review_price == plain_price(day, customer, worth, cards_a_day)


@pytest.mark.parametrize("cards_a_day", [1, 7, 399, 400, 401])
def test_the_price_of_many_cards_is_exact(cards_a_day):
    rng = np.random.default_rng(0)
    day, customer = np.repeat(np.arange(5), 400), np.tile(np.arange(400), 5)
    score, amount = rng.random(2000), rng.uniform(1, 200, 2000)
    costs = {"review_cost": 0.0, "wrong_decline_cost": 500.0}
    policy = fit_cost_policy(day, customer, score, amount, cards_a_day=cards_a_day, **costs)
    worth = np.minimum(score * amount, (1 - score) * 500.0)
    assert policy.review_price == plain_price(day, customer, worth, cards_a_day)


def test_a_card_of_one_day_is_no_other_card_of_another():
    # Four days and two cards: eight reviews, of which four have room.
    day, customer = np.repeat(np.arange(4), 2), np.tile(np.arange(2), 4)
    score, amount = np.full(8, 0.5), np.arange(1.0, 9.0)
    costs = {"review_cost": 0.0, "wrong_decline_cost": 1e9}
    policy = fit_cost_policy(day, customer, score, amount, cards_a_day=1, **costs)
    assert policy.review_price == 2.0


def test_capacity_is_used_to_the_full_where_scores_differ():
    rng = np.random.default_rng(0)
    day, customer = np.repeat(np.arange(5), 100), np.tile(np.arange(100), 5)
    score, amount = rng.random(500), rng.uniform(1, 200, 500)
    is_fraud = rng.random(500) < score
    policy = fit_capacity_policy(
        day, customer, is_fraud, score, cards_a_day=10, decline_precision=0.95
    )
    assert 0 < policy.review_above < policy.decline_above < 1
    assert reviewed_cards_a_day(policy, day, customer, score, amount) == 10
    costs = {"review_cost": 1.0, "wrong_decline_cost": 500.0}
    policy = fit_cost_policy(day, customer, score, amount, cards_a_day=10, **costs)
    assert policy.review_price > 1
    assert reviewed_cards_a_day(policy, day, customer, score, amount) == 10
    assert fit_cost_policy(day, customer, score, amount, **costs).review_price == 1.0


@pytest.mark.parametrize(
    ("is_fraud", "precision", "decline_above"),
    [
        ([True, False, False, False], 1.0, 0.8),  # all that is declined is fraud
        ([True, False, False, False], 0.5, 0.4),  # one of two is just enough
        ([True, True, True, False], 0.75, 0.0),  # as three of all four are
        ([False, True, False, False], 0.9, 1.0),  # nowhere: nothing is declined
    ],
)
def test_it_declines_from_the_lowest_score_that_is_precise_enough(
    is_fraud, precision, decline_above
):
    one, score = np.arange(4), np.array([0.9, 0.8, 0.4, 0.1])
    policy = fit_capacity_policy(
        one, one, np.array(is_fraud), score, cards_a_day=1, decline_precision=precision
    )
    assert policy.decline_above == decline_above


def test_a_large_amount_is_reviewed_where_a_small_one_is_approved():
    policy = CostPolicy(review_price=5, wrong_decline_cost=50)
    decision = policy.decide(np.array([0.05, 0.05, 0.95]), np.array([20.0, 200.0, 200.0]))
    assert decision.tolist() == [Decision.APPROVE, Decision.REVIEW, Decision.DECLINE]


def test_of_equal_costs_approve_comes_first_then_decline():
    score, amount = np.array([0.5, 0.5, 0.25]), np.array([10.0, 20.0, 80.0])
    # Approving costs 5, 10, 20 and declining 5, 5, 7.5.
    policy = CostPolicy(review_price=5, wrong_decline_cost=10)
    expected = [Decision.APPROVE, Decision.DECLINE, Decision.REVIEW]
    assert policy.decide(score, amount).tolist() == expected


@pytest.mark.parametrize(
    ("score", "amount", "message"),
    [
        ([0.5], [1.0, 2.0], "one amount a score"),
        ([1.5], [1.0], "must be probabilities"),
        ([float("nan")], [1.0], "must be probabilities"),
        ([0.5], [-1.0], "amounts must be finite and at least 0"),
        ([[0.5]], [[1.0]], r"score must have shape \(N,\)"),
    ],
)
@pytest.mark.parametrize(
    "policy", [CapacityPolicy(review_above=0.5), CostPolicy(review_price=1, wrong_decline_cost=1)]
)
def test_what_cannot_be_decided_is_refused(policy, score, amount, message):
    with pytest.raises(ValueError, match=message):
        policy.decide(np.array(score), np.array(amount))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "kind must be one of capacity, cost, got None"),
        ({"kind": "mood"}, "got 'mood'"),
        ({"kind": "cost", "review_price": 1}, r"has \['review_price', 'wrong_decline_cost'\]"),
        ({"kind": "capacity", "review_above": 0.5, "decline_above": "1"}, "must be a number"),
        ({"kind": "capacity", "review_above": 0.5, "decline_above": 0.4}, "review_above <="),
        ({"kind": "capacity", "review_above": 0.5, "decline_above": 1.1}, "^thresholds must be 0"),
        ({"kind": "cost", "review_price": -1, "wrong_decline_cost": 1}, "at least 0, got -1"),
        ({"kind": "cost", "review_price": 1, "wrong_decline_cost": math.inf}, "got inf"),
    ],
)
def test_json_that_describes_no_policy_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        DecisionPolicy.from_json(value)


def test_fitting_refuses_what_means_nothing():
    one, yes, score = np.array([0]), np.array([True]), np.array([0.5])
    with pytest.raises(ValueError, match="cards_a_day must be at least 1"):
        fit_capacity_policy(one, one, yes, score, cards_a_day=0)
    for precision in (0, 1.1):
        with pytest.raises(ValueError, match=r"decline_precision must be in \(0, 1\]"):
            fit_capacity_policy(one, one, yes, score, cards_a_day=1, decline_precision=precision)
    none = np.array([])
    with pytest.raises(ValueError, match="0 days, 0 customers, 0 scores"):
        fit_cost_policy(none, none, none, none, review_cost=1, wrong_decline_cost=1, cards_a_day=1)
    with pytest.raises(ValueError, match="2 days, 1 customers, 1 scores"):
        fit_capacity_policy(np.array([0, 1]), one, yes, score, cards_a_day=1)
