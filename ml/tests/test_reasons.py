import datetime as dt
import math

import numpy as np
import pytest
import torch

from fraud_ml._input_fit import fit_inputs
from fraud_ml._words import in_words
from fraud_ml.feature_spec import (
    WITHOUT_WINDOW,
    Aggregate,
    ColumnFeature,
    ColumnKind,
    FeatureSpec,
    RowFeature,
    RowValue,
    Unless,
    WindowFeature,
)
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.reasons import Explainer

DAY = dt.timedelta(days=1)
AMOUNT = RowFeature(name="amount", value=RowValue.AMOUNT)
USUAL = WindowFeature(
    name="usual", key="customer_id", aggregate=Aggregate.AMOUNT_TO_MEDIAN, window=None
)
COUNTRY = ColumnFeature(name="country", column="country", kind=ColumnKind.CATEGORY)


def of_terminal(aggregate, *, days=7, delay=7, of=None, unless=None):
    return WindowFeature(
        name="it",
        key="terminal_id",
        aggregate=aggregate,
        window=days * DAY,
        delay=delay * DAY,
        of=of,
        unless=unless,
    )


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        (AMOUNT, 1512.4, "amount 1,512.40"),
        (RowFeature(name="n", value=RowValue.IS_NIGHT), 1.0, "at night"),
        (RowFeature(name="n", value=RowValue.IS_WEEKEND), 0.0, "on a weekday"),
        (USUAL, 6.1, "amount 512.40 is 6.1 × this customer's usual"),
        (
            of_terminal(Aggregate.FRAUD_RATE),
            0.75,
            "75% of this terminal's payments in the 7 days until 7 days before are known frauds",
        ),
        (
            of_terminal(Aggregate.FRAUD_COUNT, delay=0),
            1.0,
            "1 known fraud of this terminal in 7 days",
        ),
        (of_terminal(Aggregate.LAST_LABEL), 1.0, "this terminal's last known label is fraud"),
        (
            of_terminal(Aggregate.FRAUD_RUN_LENGTH, unless=Unless(feature="to_usual", above=2.5)),
            3.0,
            "3 known frauds of this terminal in a row, without frauds whose to usual was above 2.5",
        ),
        (
            of_terminal(Aggregate.FRAUD_AGE),
            8.5 * 86_400,
            "this terminal's last known fraud was 8.5 days before",
        ),
        (
            of_terminal(Aggregate.DISTINCT, delay=0, days=1, of="customer_id"),
            5.0,
            "5 different customers of this terminal in 1 day",
        ),
        (
            of_terminal(Aggregate.TIME_SINCE_LAST, delay=0),
            90.0,
            "this terminal's last payment was 1.5 minutes before",
        ),
        (
            WindowFeature(
                name="z", key=("customer_id", "device_id"), aggregate=Aggregate.HISTORY_LENGTH
            ),
            7_200.0,
            "this customer and device has been known for 2 hours",
        ),
        (USUAL, math.nan, "this customer's history is missing"),
        (COUNTRY, math.nan, "country is missing"),
        (COUNTRY, 4711.0, "country is one of those with more fraud"),
        (
            ColumnFeature(name="age", column="account_age_days", kind=ColumnKind.NUMERIC),
            2.0,
            "account age days is 2",
        ),
    ],
)
def test_a_feature_in_words(feature, value, words):
    assert in_words(feature, value, amount=512.4) == words


@pytest.mark.parametrize(
    ("deciding", "words"),
    [
        (USUAL, "of more than 2 × the customer's usual"),
        (AMOUNT, "of more than 2"),
        (of_terminal(Aggregate.COUNT), "whose decider was above 2"),
    ],
)
def test_frauds_that_another_feature_leaves_out_are_named_by_it(deciding, words):
    feature = of_terminal(Aggregate.FRAUD_COUNT, delay=0, unless=Unless(feature="decider", above=2))
    assert (
        in_words(feature, 3.0, deciding=deciding)
        == f"3 known frauds of this terminal in 7 days, without frauds {words}"
    )


@pytest.mark.parametrize("aggregate", Aggregate)
def test_every_aggregate_has_words(aggregate):
    feature = WindowFeature(
        name="it",
        key="terminal_id",
        aggregate=aggregate,
        window=None if aggregate in WITHOUT_WINDOW else 7 * DAY,
        delay=0 * DAY
        if aggregate in WITHOUT_WINDOW or aggregate is Aggregate.DISTINCT
        else 7 * DAY,
        of="customer_id" if aggregate is Aggregate.DISTINCT else None,
        nth=2 if aggregate in (Aggregate.NTH_LAST_AMOUNT, Aggregate.NTH_LAST_AGE) else None,
    )
    for value in (0.0, 1.0, 3.0):
        words = in_words(feature, value)
        assert "terminal" in words
        assert not words.endswith(".")


@pytest.fixture
def explainer():
    """Of a net that was made to see fraud in high ratios, and in one country."""
    spec = FeatureSpec(features=(AMOUNT, USUAL, COUNTRY))
    rng = np.random.default_rng(0)
    x = np.stack(
        (rng.uniform(1, 100, 3_000), rng.uniform(0, 8, 3_000), rng.integers(0, 5, 3_000)), axis=1
    ).astype(np.float32)
    is_fraud = (x[:, 1] > 5) | (x[:, 2] == 3)
    torch.manual_seed(0)
    net = FraudNet(spec.categories, ModelConfig(n_groups=2, width=16, dropout=0))
    fit_inputs(net, x, is_fraud)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        logits = net(torch.from_numpy(x))
        target = torch.from_numpy(is_fraud.astype(np.float32))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Explainer(net.eval(), spec)


def test_the_reasons_are_what_raised_the_score_the_strongest_first(explainer):
    features = np.array([[50, 7.5, 1], [50, 1, 3], [50, 7.5, 3]], dtype=np.float32)
    transactions = [{"country": "NL"}, {"country": "XX"}, {"country": "XX"}]
    ratio, country, both = explainer.explain(features, transactions, at_most=2)
    assert ratio[0].feature == "usual"
    assert ratio[0].value == 7.5
    assert ratio[0].text == "amount 50.00 is 7.5 × this customer's usual"
    assert country[0].text == "country is XX"
    assert {reason.feature for reason in both} == {"usual", "country"}
    assert both[0].contribution >= both[1].contribution > 1


def test_a_reason_names_what_was_left_out_by_what_decides():
    frauds = of_terminal(Aggregate.FRAUD_COUNT, unless=Unless(feature="usual", above=2))
    spec = FeatureSpec(features=(frauds, USUAL))
    net = FraudNet(spec.categories, ModelConfig(n_groups=2, width=16))
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 8, (500, 2)).astype(np.float32)
    fit_inputs(net, x, x[:, 0] > 5)
    found = Explainer(net.eval(), spec).explain(x, at_most=2)
    texts = {reason.text for reasons in found for reason in reasons if reason.feature == "it"}
    assert texts
    assert all(text.endswith("of more than 2 × the customer's usual") for text in texts)


def test_what_lowered_the_score_is_no_reason(explainer):
    for reasons in explainer.explain(np.float32([[20, 0.5, 1], [80, 7, 3]]), at_most=9):
        assert all(reason.contribution > 0 for reason in reasons)


def test_a_net_of_another_spec_is_refused(explainer):
    with pytest.raises(ValueError, match="takes other features than the spec"):
        Explainer(FraudNet([False], ModelConfig()), FeatureSpec(features=(COUNTRY,)))
