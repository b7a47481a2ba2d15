"""Which features are computed together, and in what order."""

import datetime as dt
from pathlib import Path

import pytest

from batch_proc.key_stages import KeyStage, past_of, plan_stages, reach_of
from fraud_ml.default_specs import DEFAULT_SPEC, HANDBOOK_SPEC, default_spec
from fraud_ml.feature_spec import (
    Aggregate,
    ColumnFeature,
    ColumnKind,
    FeatureSpec,
    RowFeature,
    RowValue,
    Unless,
    WindowFeature,
    last_transactions,
)
from fraud_ml.feature_spec_toml import spec_from_toml

SHOP = spec_from_toml(
    (Path(__file__).parents[2] / "ml/examples/shop.toml").read_text(encoding="utf-8")
)
AMOUNT = RowFeature(name="amount", value=RowValue.AMOUNT)


def keys(stages: tuple[KeyStage, ...]) -> list[tuple[str, ...]]:
    return [stage.key for stage in stages]


@pytest.mark.parametrize("spec", [DEFAULT_SPEC, default_spec(traffic=True), SHOP])
@pytest.mark.parametrize("hot", [set(), {("customer_id",)}, {("customer_id", "device_id")}])
def test_each_feature_is_computed_once(spec: FeatureSpec, hot: set[tuple[str, ...]]) -> None:
    found = [feature for stage in plan_stages(spec, hot) for feature in stage.features]
    assert sorted(found, key=repr) == sorted(spec.features, key=repr)


def label_feature(key: str, unless: str) -> WindowFeature:
    return WindowFeature(
        name=f"{key}_frauds",
        key=key,
        aggregate=Aggregate.FRAUD_COUNT,
        window=dt.timedelta(days=1),
        unless=Unless(feature=unless, above=1),
    )


def count(key: str) -> WindowFeature:
    return WindowFeature(
        name=f"{key}_count", key=key, aggregate=Aggregate.COUNT, window=dt.timedelta(days=2)
    )


def test_what_decides_which_frauds_count_comes_before_them() -> None:
    spec = FeatureSpec(features=(label_feature("a", "b_count"), count("b"), count("a")))
    first, second = plan_stages(spec)
    assert (first.key, second.key) == (("b",), ("a",))
    assert [sorted(stage.given) for stage in (first, second)] == [[], ["b_count"]]
    (column,) = second.spec(spec, {"b_count": "f1"}).features[len(second.features) :]
    assert column == ColumnFeature(name="b_count", column="f1", kind=ColumnKind.NUMERIC)


def test_keys_whose_features_decide_for_each_other_have_a_stage_more() -> None:
    spec = FeatureSpec(
        features=(
            *(label_feature("a", "b_count"), count("a")),
            *(label_feature("b", "a_count"), count("b")),
        )
    )
    stages = plan_stages(spec)
    assert [[it.name for it in stage.features] for stage in stages] == [
        ["a_count"],
        ["b_frauds", "b_count"],
        ["a_frauds"],
    ]
    assert [sorted(stage.given) for stage in stages] == [[], ["a_count"], ["b_count"]]


def test_what_a_row_says_decides_at_any_stage() -> None:
    spec = FeatureSpec(features=(label_feature("a", "amount"), AMOUNT, count("b")))
    assert [sorted(stage.given) for stage in plan_stages(spec)] == [[], []]
    of_rows, first, _ = plan_stages(spec, spread_first=True)
    assert of_rows.features == (AMOUNT,)
    assert first.given == {"amount"}


def test_the_past_of_what_decides_is_before_that_of_the_frauds() -> None:
    features = (label_feature("a", "a_count"), count("a"))
    spec = FeatureSpec(features=features)
    assert past_of(features, spec).lookback == reach_of(spec) == dt.timedelta(days=3)
    assert past_of(features[:1], spec).lookback == dt.timedelta(days=1)


def test_labels_are_read_first() -> None:
    stages = plan_stages(HANDBOOK_SPEC)
    assert keys(stages) == [("terminal_id",), ("customer_id",)]
    assert [stage.reads_labels for stage in stages] == [True, False]


def test_a_pair_is_computed_with_one_of_its_columns() -> None:
    assert ("customer_id", "device_id") not in keys(plan_stages(SHOP))
    assert len(plan_stages(SHOP)) == 5


def test_the_past_of_a_pair_is_not_cut_with_a_hot_column() -> None:
    hot = {("customer_id",), ("device_id",)}
    stages = {stage.key: stage for stage in plan_stages(SHOP, hot)}
    names = [feature.name for feature in stages["customer_id", "device_id"].features]
    assert names == ["account_device_age"]  # the first row of a pair may be before any window
    # A country is not hot here, so that all its rows lie together.
    assert "account_country_age" in [feature.name for feature in stages["country",].features]


def test_windows_of_a_pair_are_cut_with_a_hot_column() -> None:
    of_pair = WindowFeature(
        name="pair", key=("a", "b"), aggregate=Aggregate.COUNT, window=dt.timedelta(days=1)
    )
    alone = WindowFeature(
        name="alone", key="a", aggregate=Aggregate.COUNT, window=dt.timedelta(days=1)
    )
    spec = FeatureSpec(features=(of_pair, alone))
    assert keys(plan_stages(spec, {("a",)})) == [("a",)]


def test_a_spec_without_keys_has_one_stage() -> None:
    spec = FeatureSpec(
        features=(AMOUNT, ColumnFeature(name="c", column="c", kind=ColumnKind.CATEGORY))
    )
    (stage,) = plan_stages(spec)
    assert stage.key == ()
    assert stage.columns == {"amount", "c"}


def test_rows_are_spread_first_where_labels_come_to_them() -> None:
    first, second, _ = plan_stages(HANDBOOK_SPEC, spread_first=True)
    assert (first.key, second.key) == ((), ("terminal_id",))
    assert [feature.name for feature in first.features] == ["amount", "is_weekend", "is_night"]


def test_the_past_is_what_windows_and_medians_see() -> None:
    past = past_of(DEFAULT_SPEC.features, DEFAULT_SPEC)
    assert past.lookback == dt.timedelta(days=90)
    assert past.rows == DEFAULT_SPEC.usual_over
    features = last_transactions("customer_id", 5)
    assert past_of(features, FeatureSpec(features=features)).rows == 5
