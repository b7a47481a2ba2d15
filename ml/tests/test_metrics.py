from collections import defaultdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from fraud_ml.metrics import (
    at_card_capacity,
    at_transaction_capacity,
    average_precision,
    card_precision_at_k,
    cards_by_day,
    precision_recall_curve,
    roc_auc,
    threshold_steps,
)

# Few distinct scores, so that most examples have ties.
PAYMENTS = st.lists(
    st.tuples(
        st.integers(17_000, 17_003),  # day
        st.integers(0, 6),  # customer
        st.booleans(),
        st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]),
    ),
    min_size=2,
    max_size=60,
)


def columns(payments):
    day, customer, is_fraud, score = (np.array(column) for column in zip(*payments, strict=True))
    return day, customer, is_fraud, score


@given(PAYMENTS)
def test_auc_and_average_precision_are_scikit_learns(payments):
    _, _, is_fraud, score = columns(payments)
    assume(0 < is_fraud.sum() < len(is_fraud))
    auc = sklearn_metrics.roc_auc_score(is_fraud, score)
    ap = sklearn_metrics.average_precision_score(is_fraud, score)
    assert roc_auc(is_fraud, score) == pytest.approx(auc, abs=1e-12)
    assert average_precision(is_fraud, score) == pytest.approx(ap, abs=1e-12)


@given(PAYMENTS)
def test_the_precision_recall_curve_is_scikit_learns(payments):
    _, _, is_fraud, score = columns(payments)
    assume(is_fraud.any())
    curve = precision_recall_curve(is_fraud, score)
    precision, recall, threshold = sklearn_metrics.precision_recall_curve(is_fraud, score)
    np.testing.assert_allclose(curve.precision, precision, atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall, atol=1e-12)
    np.testing.assert_array_equal(curve.threshold, threshold)


def plain_card_precision(day, customer, is_fraud, score, k):
    """The handbook's definition, read aloud."""
    detected, precisions = set(), []
    for today in sorted(set(day)):
        best, compromised = defaultdict(lambda: -1.0), defaultdict(bool)
        for d, c, f, s in zip(day, customer, is_fraud, score, strict=True):
            if d == today and c not in detected:
                best[c] = max(best[c], s)
                compromised[c] |= f
        top = sorted(best, key=lambda c: (-best[c], c))[:k]
        found = [c for c in top if compromised[c]]
        precisions.append(len(found) / k)
        detected.update(found)
    return np.mean(precisions)


@settings(max_examples=300)
@given(PAYMENTS, st.integers(1, 5))
def test_card_precision_is_the_plain_definitions(payments, k):
    day, customer, is_fraud, score = columns(payments)
    assume(is_fraud.any())
    expected = plain_card_precision(day, customer, is_fraud, score, k)
    assert card_precision_at_k(day, customer, is_fraud, score, k) == pytest.approx(expected)


@given(PAYMENTS, st.integers(1, 5))
def test_card_capacity_finds_each_compromised_card_once(payments, k):
    day, customer, is_fraud, score = columns(payments)
    assume(is_fraud.any())
    result = at_card_capacity(day, customer, is_fraud, score, k)
    assert result.wanted == len(set(customer[is_fraud]))
    assert result.found <= min(result.wanted, result.reviewed)
    assert result.reviewed <= k * len(set(day))
    shared = card_precision_at_k(day, customer, is_fraud, score, k) * k * len(set(day))
    assert result.found == pytest.approx(shared)


@given(PAYMENTS, st.integers(1, 5))
def test_cards_by_day_add_up_to_the_capacity(payments, k):
    day, customer, is_fraud, score = columns(payments)
    assume(is_fraud.any())
    by_day = cards_by_day(day, customer, is_fraud, score, k)
    assert by_day.day.tolist() == sorted(set(day.tolist()))
    assert by_day.reviewed.dtype == by_day.found.dtype == np.int64
    result = at_card_capacity(day, customer, is_fraud, score, k)
    assert (by_day.reviewed.sum(), by_day.found.sum()) == (result.reviewed, result.found)
    first = day == by_day.day[0]
    if is_fraud[first].any():
        alone = at_card_capacity(day[first], customer[first], is_fraud[first], score[first], k)
        assert (by_day.reviewed[0], by_day.found[0]) == (alone.reviewed, alone.found)


@given(PAYMENTS, st.integers(1, 20))
def test_transaction_capacity_is_the_plain_definition(payments, k):
    day, _, is_fraud, score = columns(payments)
    assume(is_fraud.any())
    reviewed = []
    for today in set(day):
        rows = [i for i in range(len(day)) if day[i] == today]
        reviewed += sorted(rows, key=lambda i: -score[i])[:k]
    result = at_transaction_capacity(day, is_fraud, score, k)
    assert result.reviewed == len(reviewed)
    assert result.precision == pytest.approx(is_fraud[reviewed].mean())
    assert result.recall == pytest.approx(is_fraud[reviewed].sum() / is_fraud.sum())


def test_capacity_for_all_has_full_recall_and_the_fraud_rate_as_precision():
    day = np.array([1, 1, 2, 2])
    is_fraud = np.array([True, False, False, False])
    result = at_transaction_capacity(day, is_fraud, np.array([0.1, 0.2, 0.3, 0.4]), k=2)
    assert (result.recall, result.precision) == (1.0, 0.25)


def test_unless_told_otherwise_a_hundred_are_looked_at_a_day():
    n = 102
    day, customer, is_fraud = np.zeros(n, dtype=int), np.arange(n), np.arange(n) % 2 == 0
    score = np.linspace(1, 0, n)
    assert at_transaction_capacity(day, is_fraud, score).reviewed == 100
    assert at_card_capacity(day, customer, is_fraud, score).reviewed == 100
    assert cards_by_day(day, customer, is_fraud, score).reviewed.tolist() == [100]
    assert card_precision_at_k(day, customer, is_fraud, score) == 0.5


def test_rows_of_equal_score_stand_in_their_own_order():
    score = np.tile([0.2, 0.9], 500)
    steps = threshold_steps(score > 0.5, score)
    assert steps.order.tolist() == [*range(1, 1000, 2), *range(0, 1000, 2)]
    assert steps.threshold.tolist() == [0.9, 0.2]
    assert (steps.flagged.tolist(), steps.found.tolist()) == ([500, 1000], [500, 500])


def test_of_cards_with_equal_scores_the_lower_customers_are_looked_at():
    n = 1000
    customer = np.random.default_rng(0).permutation(n)
    score = np.where(customer % 2 == 0, 0.9, 0.2)
    is_fraud = (customer % 2 == 0) & (customer < 600)  # 300 of the 500 that score high
    day = np.zeros(n, dtype=int)
    assert at_card_capacity(day, customer, is_fraud, score, k=300).found == 300
    late = (customer % 2 == 0) & (customer >= 600)
    assert at_card_capacity(day, customer, late, score, k=300).found == 0


def test_a_detected_card_leaves_and_makes_room_on_later_days():
    day = np.array([0, 0, 1, 1])
    customer = np.array(["ann", "bob", "ann", "bob"])
    is_fraud = np.array([True, False, True, True])
    score = np.array([0.9, 0.1, 0.9, 0.1])
    assert card_precision_at_k(day, customer, is_fraud, score, k=1) == 1.0


@pytest.mark.parametrize("metric", [roc_auc, average_precision])
@pytest.mark.parametrize(
    ("is_fraud", "score", "message"),
    [
        ([True, False], [0.1], r"shapes \(2,\) and \(1,\)"),
        ([1, 0], [0.1, 0.2], "must be boolean, got int64"),
        ([True, False], [0.1, float("nan")], "must be finite"),
        ([False, False], [0.1, 0.2], "no fraud to find"),
    ],
)
def test_what_cannot_be_measured_is_refused(metric, is_fraud, score, message):
    with pytest.raises(ValueError, match=message):
        metric(np.array(is_fraud), np.array(score))


def test_auc_without_any_honest_payment_is_refused():
    with pytest.raises(ValueError, match="^roc_auc needs payments that are no fraud, got none$"):
        roc_auc(np.array([True]), np.array([0.5]))


def test_transaction_capacity_refuses_a_useless_k_and_unequal_columns():
    one = np.array([0])
    with pytest.raises(ValueError, match="k must be at least 1, got k=0"):
        at_transaction_capacity(one, np.array([True]), np.array([0.5]), k=0)
    with pytest.raises(ValueError, match="2 days, 1 scores"):
        at_transaction_capacity(np.array([0, 1]), np.array([True]), np.array([0.5]))


def test_card_precision_refuses_a_useless_k_and_unequal_columns():
    one = np.array([0])
    with pytest.raises(ValueError, match="k must be at least 1, got k=0"):
        card_precision_at_k(one, one, np.array([True]), np.array([0.5]), k=0)
    with pytest.raises(ValueError, match="2 days, 1 customers, 1 scores"):
        card_precision_at_k(np.array([0, 1]), one, np.array([True]), np.array([0.5]))
