import numpy as np
import pytest

from fraud_ml.bootstrap import bootstrap_interval, resamples
from fraud_ml.metrics import average_precision, card_precision_at_k


def payments(n_customers, each, seed=0):
    """Customers that are frauds or not, whole: `each` payments of the same outcome."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(n_customers), each)
    is_fraud = (rng.random(n_customers) < 0.3)[customer]
    return customer, is_fraud, rng.random(len(customer)) + 0.5 * is_fraud


def test_the_interval_of_a_mean_is_the_normal_one_of_its_customers():
    customer, is_fraud, _ = payments(400, each=5)
    interval = bootstrap_interval(lambda row, _: is_fraud[row].mean(), customer)
    rate = is_fraud.mean()
    half = 1.96 * np.sqrt(rate * (1 - rate) / 400)  # of customers: of payments, less than half
    assert interval.estimate == rate
    assert interval.low == pytest.approx(rate - half, abs=0.005)
    assert interval.high == pytest.approx(rate + half, abs=0.005)


def test_95_percent_of_the_intervals_hold_the_true_value():
    held = 0
    for seed in range(200):
        customer, is_fraud, _ = payments(150, each=3, seed=seed)
        interval = bootstrap_interval(
            lambda row, _, y=is_fraud: y[row].mean(), customer, n_resamples=200, seed=seed
        )
        held += interval.low <= 0.3 <= interval.high
    assert 0.90 <= held / 200 <= 0.99


def test_each_resample_holds_whole_customers_and_numbers_the_draws():
    customer = np.array(["ann", "bob", "ann", "cem", "bob", "ann"])
    seen = []

    def metric(row, card):
        seen.append((row, card))
        return 0.0

    bootstrap_interval(metric, customer, n_resamples=50)
    for row, card in seen:
        assert set(card) == {0, 1, 2}
        for draw in range(3):
            rows = row[card == draw]
            (name,) = set(customer[rows])
            assert sorted(rows) == np.flatnonzero(customer == name).tolist()


def test_a_seed_gives_one_interval_for_any_metric_of_rows():
    customer, is_fraud, score = payments(200, each=4)
    day = np.tile(np.arange(4), 200)

    def ap(row, _):
        return average_precision(is_fraud[row], score[row])

    def cp(row, card):
        return card_precision_at_k(day[row], card, is_fraud[row], score[row], k=40)

    for metric in (ap, cp):
        first = bootstrap_interval(metric, customer, n_resamples=50, seed=1)
        assert first == bootstrap_interval(metric, customer, n_resamples=50, seed=1)
        assert first != bootstrap_interval(metric, customer, n_resamples=50, seed=2)
        assert first.low <= first.estimate <= first.high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confidence": 1.0}, "confidence must be between 0 and 1"),
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
        ({"customer": np.array([])}, "no customer to resample"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(lambda *_: 0.0, **{"customer": np.array([1])} | arguments)


def test_resamples_are_the_draws_of_the_interval():
    customer, _, score = payments(50, each=4)
    seen = []
    bootstrap_interval(
        lambda row, card: seen.append((row, card)) or score[row].mean(), customer, n_resamples=7
    )
    drawn = list(resamples(customer, n_resamples=7))
    assert len(drawn) == 7
    for here, there in zip(drawn, seen, strict=False):
        np.testing.assert_array_equal(here, there)
    with pytest.raises(ValueError, match="n_resamples must be at least 1"):
        resamples(customer, n_resamples=0)
    with pytest.raises(ValueError, match="no customer"):
        resamples(customer[:0])
