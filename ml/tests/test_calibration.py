import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from fraud_ml.calibration import brier_score, calibration_bins, expected_calibration_error

PAYMENTS = st.lists(
    st.tuples(st.booleans(), st.one_of(st.sampled_from([0.0, 0.2, 1.0]), st.floats(0, 1))),
    min_size=2,
    max_size=60,
)


def columns(payments):
    is_fraud, score = (np.array(column) for column in zip(*payments, strict=True))
    assume(is_fraud.any())
    return is_fraud, score


@given(PAYMENTS)
def test_the_brier_score_is_scikit_learns(payments):
    is_fraud, score = columns(payments)
    expected = brier_score_loss(is_fraud, score, pos_label=True)
    assert brier_score(is_fraud, score) == pytest.approx(expected, abs=1e-12)


@given(PAYMENTS, st.sampled_from([("mass", "quantile"), ("width", "uniform")]), st.integers(1, 20))
def test_the_bins_are_scikit_learns(payments, binning, n_bins):
    is_fraud, score = columns(payments)
    ours, theirs = binning
    assume(0 < is_fraud.sum() < len(is_fraud))  # scikit-learn's needs two classes
    bins = calibration_bins(is_fraud, score, n_bins=n_bins, binning=ours)
    rate, mean = calibration_curve(is_fraud, score, n_bins=n_bins, strategy=theirs)
    np.testing.assert_allclose(bins.fraud_rate, rate, atol=1e-12)
    np.testing.assert_allclose(bins.mean_score, mean, atol=1e-12)
    assert bins.count.sum() == len(score)


def test_a_calibrated_score_has_almost_no_error_and_a_doubled_one_has_its_mean():
    rng = np.random.default_rng(0)
    chance = rng.beta(0.1, 5, 200_000)
    is_fraud = rng.random(200_000) < chance
    assert expected_calibration_error(is_fraud, chance) < 0.001
    doubled = np.minimum(2 * chance, 1)
    error = expected_calibration_error(is_fraud, doubled)
    assert error == pytest.approx(doubled.mean() - chance.mean(), abs=0.001)


def test_the_error_is_the_weighted_distance_of_the_bins():
    is_fraud = np.array([False, False, False, True])
    score = np.array([0.1, 0.1, 0.1, 0.6])
    error = expected_calibration_error(is_fraud, score, n_bins=2, binning="width")
    assert error == pytest.approx(0.75 * 0.1 + 0.25 * 0.4)


def test_what_is_no_probability_is_refused():
    is_fraud, score = np.array([True, False]), np.array([1.5, 0.0])
    for metric in (brier_score, expected_calibration_error):
        with pytest.raises(ValueError, match="must be probabilities, 0 to 1"):
            metric(is_fraud, score)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_bins": 0}, "n_bins must be at least 1, got n_bins=0"),
        ({"binning": "equal"}, "binning must be 'mass' or 'width', got 'equal'"),
    ],
)
def test_bins_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        calibration_bins(np.array([True, False]), np.array([0.5, 0.0]), **arguments)
