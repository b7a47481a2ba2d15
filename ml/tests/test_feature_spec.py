import datetime as dt
import json

import pytest

from fraud_ml.feature_spec import (
    HANDBOOK_SPEC,
    Aggregate,
    FeatureSpec,
    Key,
    RowFeature,
    RowValue,
    WindowFeature,
    handbook_spec,
)

AMOUNT = RowFeature(name="amount", value=RowValue.AMOUNT)


def window(**changes):
    fields = {
        "name": "f",
        "key": Key.TERMINAL,
        "aggregate": Aggregate.COUNT,
        "window": dt.timedelta(days=1),
    }
    return WindowFeature(**(fields | changes))


def test_the_handbook_has_these_15_features():
    assert HANDBOOK_SPEC.names == (
        "amount",
        "is_weekend",
        "is_night",
        "customer_count_1d",
        "customer_mean_amount_1d",
        "customer_count_7d",
        "customer_mean_amount_7d",
        "customer_count_30d",
        "customer_mean_amount_30d",
        "terminal_count_1d",
        "terminal_fraud_rate_1d",
        "terminal_count_7d",
        "terminal_fraud_rate_7d",
        "terminal_count_30d",
        "terminal_fraud_rate_30d",
    )


def test_the_label_delay_shifts_terminal_windows_only():
    spec = handbook_spec(label_delay=dt.timedelta(days=3))
    delays = {f.key: f.delay for f in spec.features if isinstance(f, WindowFeature)}
    assert delays == {Key.CUSTOMER: dt.timedelta(0), Key.TERMINAL: dt.timedelta(days=3)}


def test_a_spec_goes_through_json_and_back():
    exotic = window(window=dt.timedelta(microseconds=1), delay=dt.timedelta(days=400, hours=1))
    for spec in (HANDBOOK_SPEC, FeatureSpec(features=(AMOUNT, exotic))):
        assert FeatureSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"name": "f"}], "not a feature spec: KeyError"),
        ([3], "not a feature spec: TypeError"),
        ([{"name": "f", "value": "weather"}], "'weather' is not a valid RowValue"),
    ],
)
def test_json_that_is_no_spec_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        FeatureSpec.from_json(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: window(window=dt.timedelta(0)), "f: window must be positive, got"),
        (lambda: window(delay=-dt.timedelta(1)), "f: delay must not be negative, got"),
        (lambda: FeatureSpec(features=()), "at least one feature"),
        (lambda: FeatureSpec(features=(AMOUNT, AMOUNT)), r"unique, got repeated=\['amount'\]"),
    ],
)
def test_a_spec_that_means_nothing_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
