import dataclasses
import datetime as dt
import json
import math
from pathlib import Path

import numpy as np
import pytest

from fraud_ml.default_specs import (
    DEFAULT_SPEC,
    HANDBOOK_SPEC,
    SIMULATOR_DESIGNED,
    TRAFFIC_FEATURES,
    default_spec,
    handbook_spec,
)
from fraud_ml.feature_spec import (
    Aggregate,
    ColumnFeature,
    ColumnKind,
    FeatureSpec,
    Key,
    RowFeature,
    RowValue,
    Unless,
    WindowFeature,
    last_transactions,
)
from fraud_ml.feature_spec_toml import spec_from_toml, spec_to_toml

DAY = dt.timedelta(days=1)
AMOUNT = RowFeature(name="amount", value=RowValue.AMOUNT)


UNLESS = Unless(feature="amount", above=2.0)


def window(**changes):
    fields = {
        "name": "f",
        "key": Key.TERMINAL,
        "aggregate": Aggregate.COUNT,
        "window": dt.timedelta(days=1),
    }
    return WindowFeature(**(fields | changes))


def frauds_unless(n):
    """Features of known frauds, each of which leaves out others."""
    return [
        window(
            name=f"f{above}",
            aggregate=Aggregate.FRAUD_COUNT,
            unless=Unless(feature="amount", above=above),
        )
        for above in range(n)
    ]


def column(name, column, kind):
    return ColumnFeature(name=name, column=column, kind=ColumnKind(kind))


def last(**changes):
    return window(**({"aggregate": Aggregate.NTH_LAST_AGE, "window": None} | changes))


def test_the_last_transactions_are_two_features_each_the_latest_first():
    features = last_transactions(("customer_id", "device"), 2)
    assert [feature.name for feature in features] == [
        "customer_device_last_1_amount",
        "customer_device_last_1_age",
        "customer_device_last_2_amount",
        "customer_device_last_2_age",
    ]
    assert [feature.nth for feature in features] == [1, 1, 2, 2]


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


PAIR = window(
    name='two "keys"\n', key=("device", "card\x7f"), aggregate=Aggregate.DISTINCT, of="país"
)
AGE = ColumnFeature(name="age", column="account age", kind=ColumnKind.NUMERIC)
DEVICE = ColumnFeature(name="device", column="device", kind=ColumnKind.CATEGORY)
UNUSUAL = FeatureSpec(
    features=(
        AMOUNT,
        AGE,
        PAIR,
        DEVICE,
        window(aggregate=Aggregate.HISTORY_LENGTH, window=None),
        *last_transactions("customer_id", 2),
        window(
            name="g",
            aggregate=Aggregate.FRAUD_RATE,
            unless=Unless(feature='two "keys"\n', above=2.5),
        ),
    ),
    resolution=dt.timedelta(hours=1),
    usual_over=5,
    unusual_ratio=3,
)


TRAFFIC = default_spec(traffic=True)


@pytest.mark.parametrize("spec", [HANDBOOK_SPEC, DEFAULT_SPEC, TRAFFIC, UNUSUAL])
def test_a_spec_goes_through_json_and_toml_and_back_with_its_hash(spec):
    for again in (
        FeatureSpec.from_json(json.loads(json.dumps(spec.to_json()))),
        spec_from_toml(spec_to_toml(spec)),
    ):
        assert again == spec
        assert again.hash == spec.hash


def test_a_spec_knows_what_it_reads_and_what_is_a_category():
    assert HANDBOOK_SPEC.columns == ("amount", "customer_id", "terminal_id")
    assert UNUSUAL.columns == (
        *("amount", "account age", "device", "card\x7f", "país", "terminal_id", "customer_id"),
    )
    assert UNUSUAL.categories == (False, False, False, True, *[False] * 6)
    assert UNUSUAL.reader_of("device") == PAIR.name
    counts = FeatureSpec(features=(window(), window(name="g", aggregate=Aggregate.MAX_AMOUNT)))
    assert counts.columns == ("terminal_id", "amount")


@pytest.mark.parametrize("above", [0.0, -1.5, 2.1, 19.99, 1e-30, 2.0**24 - 1, 2.0**24 + 1, 1e38])
def test_a_value_is_above_as_a_model_takes_both(above):
    bound = Unless(feature="amount", above=above).bound
    assert np.float32(bound) == np.float32(above)
    assert np.float32(np.nextafter(bound, np.inf)) > np.float32(above)


def test_what_leaves_frauds_out_is_named_once():
    rate = window(aggregate=Aggregate.FRAUD_RATE, unless=UNLESS)
    count = window(name="g", aggregate=Aggregate.FRAUD_COUNT, unless=UNLESS)
    assert FeatureSpec(features=(AMOUNT, rate, count)).unless == (UNLESS,)
    assert FeatureSpec(features=(AMOUNT,)).unless == ()
    assert len(FeatureSpec(features=(AMOUNT, *frauds_unless(62))).unless) == 62


def test_traffic_comes_after_the_default_features_where_it_is_asked_for():
    assert TRAFFIC.features == (*DEFAULT_SPEC.features, *TRAFFIC_FEATURES)
    assert TRAFFIC.resolution == DEFAULT_SPEC.resolution
    assert TRAFFIC.columns == DEFAULT_SPEC.columns
    assert [it.delay for it in TRAFFIC_FEATURES] == [dt.timedelta(0)] * 4
    example = Path(__file__).parents[1] / "examples/traffic.toml"
    assert spec_from_toml(example.read_text(encoding="utf-8")) == TRAFFIC


def test_what_was_designed_for_a_simulator_is_named_and_can_be_left_out():
    assert set(TRAFFIC.names) > SIMULATOR_DESIGNED > {it.name for it in TRAFFIC_FEATURES}
    kept = default_spec(simulator_designed=False)
    assert kept.features == tuple(
        it for it in DEFAULT_SPEC.features if it.name not in SIMULATOR_DESIGNED
    )
    assert len(kept.names) == 23
    with pytest.raises(ValueError, match="ask for both or for neither"):
        default_spec(simulator_designed=False, traffic=True)


def test_hashes_do_not_drift_and_tell_specs_apart():
    assert HANDBOOK_SPEC.hash == "23c0c64c1aaa14851f39f25d813ce3dfa7c2c4f869035721bc9c85ec39078edd"
    assert DEFAULT_SPEC.hash == "65795bd631b8034f6ec5ee0cec02c29a27b4f4216dd4e29a6e4ad8514145ac71"
    assert TRAFFIC.hash == "3754bc2fcc1f655d066ab23fb35f93673f3bd343a23d6e8816f40458a3ae5263"
    assert len({HANDBOOK_SPEC.hash, DEFAULT_SPEC.hash, UNUSUAL.hash}) == 3
    finer = dataclasses.replace(UNUSUAL, resolution=dt.timedelta(minutes=1))
    assert finer.hash != UNUSUAL.hash


def test_the_first_json_form_a_bare_list_is_still_read():
    assert FeatureSpec.from_json(HANDBOOK_SPEC.to_json()["features"]) == HANDBOOK_SPEC


def test_toml_leaves_out_what_has_a_default():
    spec = spec_from_toml(
        """
        version = 2
        [[features]]
        name = "f"
        key = "terminal_id"
        aggregate = "count"
        window_seconds = 86400
        """
    )
    assert spec == FeatureSpec(features=(window(),))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"version": 3, "features": []}, "feature spec of version 3, this release reads 2"),
        ({"version": 2, "features": [], "colour": 1}, "not a feature spec: TypeError"),
        ([{"name": "f", "value": "amount", "windw": 3}], r"f: unknown fields \['windw'\]"),
        ([{"name": "f"}], "f: needs a value, a column or a key, got none"),
        ([{"value": "amount"}], "not a feature spec: KeyError"),
        ([3], "not a feature spec: TypeError"),
        (
            [{"name": "f", "value": "weather"}],
            "f: value must be one of amount, is_weekend, is_night; got 'weather'",
        ),
        ([{"name": "f", "key": "k", "aggregate": "mode"}], "f: aggregate must be one of count, "),
        ([{"name": "f", "column": "c"}], "f: kind must be one of numeric, category; got None"),
        ([{"name": "f", "column": 3, "kind": "numeric"}], "f: column must be a name, got 3"),
        ([{"name": "f", "column": "", "kind": "numeric"}], "f: column must be a name, got ''"),
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
        (lambda: window(window=None), "f: count needs a window, got"),
        (lambda: window(aggregate=Aggregate.HISTORY_LENGTH), "history_length takes no window"),
        (
            lambda: window(aggregate=Aggregate.DISTINCT, of="x", delay=DAY),
            "distinct takes no delay",
        ),
        (lambda: window(aggregate=Aggregate.LAST_LABEL), "f: last_label needs a delay, got"),
        (lambda: window(of="device"), "f: `of` goes with distinct alone"),
        (lambda: window(aggregate=Aggregate.DISTINCT), "f: `of` goes with distinct alone"),
        (lambda: window(nth=1), "f: count takes no nth, got self.nth=1"),
        (lambda: last(nth=None), "f: nth_last_age needs an nth, got"),
        (lambda: last(nth=0), "f: nth must be from 1 to 64, got"),
        (lambda: last(nth=65), "f: nth must be from 1 to 64, got"),
        (lambda: last(nth=1, window=DAY), "nth_last_age takes no window"),
        (lambda: last(nth=1, delay=DAY), "nth_last_age takes no delay"),
        (lambda: window(key=("a", "b", "c")), "f: key must be one column or two"),
        (lambda: FeatureSpec(features=(AMOUNT,), resolution=0 * DAY), "resolution must be pos"),
        (lambda: FeatureSpec(features=(AMOUNT,), usual_over=0), "usual_over must be at least 1"),
        (lambda: FeatureSpec(features=(AMOUNT,), unusual_ratio=0), "unusual_ratio must be pos"),
        (
            lambda: FeatureSpec(features=(window(),), resolution=DAY * 2),
            "f: 1 day, 0:00:00 is no multiple of",
        ),
        (lambda: FeatureSpec(features=()), "at least one feature"),
        (
            lambda: FeatureSpec(features=(DEVICE, column("n", "device", ColumnKind.NUMERIC))),
            r"either a number or a category or key, got \['device'\] as both",
        ),
        (
            lambda: FeatureSpec(features=(column("n", "terminal_id", "numeric"), window())),
            r"got \['terminal_id'\] as both",
        ),
        (
            lambda: FeatureSpec(features=(column("n", "customer_id", "numeric"),)),
            r"got \['customer_id'\] as both",
        ),
        (lambda: FeatureSpec(features=(window(key="amount"),)), r"got \['amount'\] as both"),
        (
            lambda: FeatureSpec(features=(column("f", "is_fraud", "numeric"),)),
            "f: no feature may read column 'is_fraud'",
        ),
        (
            lambda: FeatureSpec(features=(window(key=("device", "labelled_at")),)),
            "f: no feature may read column 'labelled_at'",
        ),
        (lambda: window(unless=UNLESS), "f: `unless` goes with known frauds, got count"),
        (lambda: Unless(feature="amount", above=math.nan), r"above must be within 1e\+38"),
        (lambda: Unless(feature="amount", above=1e39), r"above must be within 1e\+38"),
        (
            lambda: FeatureSpec(features=(window(aggregate=Aggregate.FRAUD_RATE, unless=UNLESS),)),
            "must name a feature of the spec, got 'amount', which is none",
        ),
        (
            lambda: FeatureSpec(
                features=(
                    window(name="amount", aggregate=Aggregate.FRAUD_COUNT),
                    window(aggregate=Aggregate.FRAUD_RATE, unless=UNLESS),
                )
            ),
            "got 'amount', which looks at labels itself",
        ),
        (
            lambda: FeatureSpec(features=(AMOUNT, *frauds_unless(63))),
            "62 different `unless`, got 63",
        ),
        (lambda: FeatureSpec(features=(AMOUNT, AMOUNT)), r"unique, got repeated=\['amount'\]"),
    ],
)
def test_a_spec_that_means_nothing_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
