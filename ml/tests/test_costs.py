import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fraud_ml.costs import cost_curve

PAYMENTS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.integers(0, 500)),
    min_size=1,
    max_size=40,
)


@given(PAYMENTS, st.floats(0, 50))
def test_each_point_is_what_reviewing_from_its_threshold_brings(payments, review_cost):
    is_fraud, score, amount = (np.array(column) for column in zip(*payments, strict=True))
    assume(is_fraud.any())
    curve = cost_curve(is_fraud, score, amount.astype(float), review_cost=review_cost)
    assert curve.threshold.tolist() == [np.inf, *sorted(set(score), reverse=True)]
    for i, threshold in enumerate(curve.threshold):
        reviewed = score >= threshold
        assert curve.reviewed[i] == reviewed.sum()
        assert curve.saved[i] == pytest.approx(amount[reviewed & is_fraud].sum())
        assert curve.review_cost[i] == pytest.approx(reviewed.sum() * review_cost)
    assert curve.net[curve.best] == curve.net.max() >= 0


def test_the_best_threshold_stops_where_a_review_costs_more_than_it_saves():
    is_fraud = np.array([True, False, True, False, True])
    score = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    amount = np.array([100.0, 30.0, 50.0, 10.0, 5.0])
    curve = cost_curve(is_fraud, score, amount, review_cost=10)
    assert curve.net.tolist() == [0, 90, 80, 120, 110, 105]
    assert curve.threshold[curve.best] == 0.7


@pytest.mark.parametrize(
    ("amount", "review_cost", "message"),
    [
        ([1.0], 1, r"one amount a score, got shapes \(1,\) and \(2,\)"),
        ([1.0, -1.0], 1, "amounts must be finite and at least 0"),
        ([1.0, float("nan")], 1, "amounts must be finite and at least 0"),
        ([1.0, 1.0], -1, "review_cost must be finite and at least 0"),
    ],
)
def test_money_that_means_nothing_is_refused(amount, review_cost, message):
    is_fraud, score = np.array([True, False]), np.array([0.5, 0.1])
    with pytest.raises(ValueError, match=message):
        cost_curve(is_fraud, score, np.array(amount), review_cost=review_cost)
