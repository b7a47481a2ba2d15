"""What reports show is what the library measures, and how sure it is."""

import numpy as np
import pytest

from batch_proc.report.measured import (
    SCORE_EDGES,
    Scored,
    calibration_points,
    cards_of_days,
    count_scores,
    date_of,
    outcomes,
    precision_at,
    quality,
    stopped_amounts,
    wilson,
)
from fraud_ml.bootstrap import bootstrap_interval
from fraud_ml.metrics import average_precision, card_precision_at_k, roc_auc
from fraud_ml.policy import CapacityPolicy


def payments(n: int = 3_000, *, seed: int = 0) -> Scored:
    """Frauds at 2 %, with scores that tell something and have ties."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(n) < 0.02
    score = 1 / (1 + np.exp(-(rng.normal(-4, 1.5, n) + 3 * is_fraud)))
    return Scored(
        day=17_000 + np.arange(n) * 5 // n,
        customer=rng.integers(0, n // 6, n),
        is_fraud=is_fraud,
        score=np.round(score, 3),
        amount=np.round(rng.gamma(2, 30, n), 2),
    )


def test_the_estimates_are_the_metrics_of_the_library() -> None:
    scored = payments()
    found = quality(scored, k=20, n_resamples=5)
    assert found is not None and found.auc is not None
    cards = card_precision_at_k(scored.day, scored.customer, scored.is_fraud, scored.score, k=20)
    assert found.auc.estimate == pytest.approx(roc_auc(scored.is_fraud, scored.score))
    assert found.ap.estimate == pytest.approx(average_precision(scored.is_fraud, scored.score))
    assert found.card_precision.estimate == pytest.approx(cards)


def test_the_intervals_are_those_of_the_bootstrap() -> None:
    scored = payments()
    found = quality(scored, k=20, n_resamples=50)
    assert found is not None

    def ap(row: np.ndarray, _: np.ndarray) -> float:
        return average_precision(scored.is_fraud[row], scored.score[row])

    def cards(row: np.ndarray, card: np.ndarray) -> float:
        part = scored.take(row)
        return card_precision_at_k(part.day, card, part.is_fraud, part.score, k=20)

    for here, metric in ((found.ap, ap), (found.card_precision, cards)):
        there = bootstrap_interval(metric, scored.customer, n_resamples=50)
        assert (here.low, here.high) == pytest.approx((there.low, there.high))
        assert here.low < here.estimate < here.high


def test_the_curve_lies_in_its_band_and_holds_the_average_precision() -> None:
    found = quality(payments(20_000), k=20, n_resamples=50)
    assert found is not None
    curve = found.curve
    inside = [
        low <= precision <= high
        for low, precision, high in zip(curve.low, curve.precision, curve.high, strict=True)
    ]
    assert np.mean(inside) > 0.9
    assert np.mean(curve.precision) == pytest.approx(found.ap.estimate, abs=0.03)


def test_without_a_fraud_there_is_no_quality_and_few_frauds_do_not_break_it() -> None:
    scored = payments()
    none = scored.take(~scored.is_fraud)
    assert quality(none, k=20) is None
    assert cards_of_days(none, k=20) is None
    first = np.flatnonzero(scored.is_fraud)[:1]
    one = scored.take(np.concatenate([np.flatnonzero(~scored.is_fraud)[:300], first]))
    found = quality(one, k=20, n_resamples=50)  # every third draw is without the fraud
    assert found is not None and 0 <= found.ap.low <= found.ap.high <= 1
    alone = quality(scored.take(first), k=20, n_resamples=5)
    assert alone is not None and alone.auc is None


def test_the_days_add_up_to_the_card_precision() -> None:
    scored = payments()
    found = cards_of_days(scored, k=20)
    assert found is not None
    total = card_precision_at_k(scored.day, scored.customer, scored.is_fraud, scored.score, k=20)
    assert found.found.sum() / (20 * 5) == pytest.approx(total)
    assert [str(date_of(day)) for day in found.day[:2].tolist()] == ["2016-07-18", "2016-07-19"]


def test_scores_are_counted_each_once_and_parts_add_up() -> None:
    scores = np.array([0.0, 1e-9, 0.002, 0.5, 0.97, 1.0])
    counts = count_scores(scores)
    assert counts.sum() == 6 and counts[0] == 2 and counts[-1] == 1
    np.testing.assert_array_equal(counts, count_scores(scores[:2]) + count_scores(scores[2:]))
    at = int(np.flatnonzero(count_scores(np.array([0.002])))[0])
    assert SCORE_EDGES[at] < 0.002 <= SCORE_EDGES[at + 1]


def test_calibration_holds_each_payment_once_and_its_intervals_the_truth() -> None:
    rng = np.random.default_rng(3)
    score = rng.beta(0.3, 4, 50_000)
    points = calibration_points(rng.random(50_000) < score, score)
    assert sum(point.payments for point in points) == 50_000
    assert [point.score for point in points] == sorted(point.score for point in points)
    held = [point.low <= point.score <= point.high for point in points]
    assert np.mean(held) > 0.8
    assert wilson(0, 10)[0] == 0 and 0.25 < wilson(0, 10)[1] < 0.31


def test_each_payment_has_one_outcome() -> None:
    scored = payments()
    decision = CapacityPolicy(review_above=0.1, decline_above=0.5).decide(
        scored.score, scored.amount
    )
    found = outcomes(decision, scored)
    assert [it.decision for it in found] == ["decline", "review", "approve"]
    assert sum(it.frauds for it in found) == scored.is_fraud.sum()
    assert sum(it.others for it in found) == (~scored.is_fraud).sum()
    total = sum(it.fraud_amount + it.other_amount for it in found)
    assert total == pytest.approx(scored.amount.sum())


def test_the_stopped_amount_rises_to_all_and_passes_through_the_policy() -> None:
    scored = payments()
    curve = stopped_amounts(scored)
    assert [share for _, share in curve] == sorted(share for _, share in curve)
    assert curve[-1] == (600.0, pytest.approx(1.0))
    assert stopped_amounts(scored.take(~scored.is_fraud)) == []
    flagged = scored.score > 0.3
    reached = precision_at(scored, flagged)
    assert reached is not None
    recall, precision = reached
    assert recall == scored.is_fraud[flagged].sum() / scored.is_fraud.sum()
    assert precision == scored.is_fraud[flagged].mean()
    assert precision_at(scored, scored.score > 2) is None
