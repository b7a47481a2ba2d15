import datetime as dt
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from fraud_ml.feature_spec_toml import spec_from_toml
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.shop_simulator import (
    GIFT_CARD_ABUSE,
    RING,
    SHOP_NAMES,
    TAKEOVER,
    ShopConfig,
    simulate_shop,
)
from fraud_ml.transactions import normalise_labels, normalise_transactions, transaction_columns

EXAMPLES = Path(__file__).parent.parent / "examples"
SPEC = spec_from_toml((EXAMPLES / "shop.toml").read_text(encoding="utf-8"))
SMALL = ShopConfig(n_accounts=2_000, n_days=60, seed=1)


@pytest.fixture(scope="module")
def shop():
    return simulate_shop(SMALL)


def column(shop, name, **where):
    """The values of a column, of all orders or of those of a scenario."""
    values = shop.transactions[name]
    if where:
        values = values.filter(pc.equal(shop.truth["scenario"], where["scenario"]))
    return values


def test_the_same_seed_gives_the_same_tables_and_another_seed_others(shop):
    again = simulate_shop(SMALL)
    assert shop.transactions.equals(again.transactions)
    assert shop.labels.equals(again.labels)
    assert shop.truth.equals(again.truth)
    other = simulate_shop(ShopConfig(n_accounts=2_000, n_days=60, seed=2))
    assert not shop.transactions.equals(other.transactions)


def test_orders_are_normal_under_the_example_spec_and_have_no_terminal(shop):
    normal = normalise_transactions(shop.transactions, SPEC)
    assert normal.equals(shop.transactions.select(transaction_columns(SPEC)))
    assert set(normal.column_names) == set(shop.transactions.column_names)
    assert "terminal_id" not in normal.column_names
    assert normalise_labels(shop.labels, normal).equals(shop.labels)
    assert shop.truth["transaction_id"].equals(normal["transaction_id"])


def test_the_shops_export_has_its_own_names_which_the_example_maps(shop):
    names = tomllib.loads((EXAMPLES / "shop_columns.toml").read_text(encoding="utf-8"))
    assert names == SHOP_NAMES
    assert not set(names) & set(shop.orders.column_names)
    theirs = [names.get(name, name) for name in transaction_columns(SPEC)]
    ours = shop.orders.select(theirs).rename_columns(transaction_columns(SPEC))
    assert normalise_transactions(ours, SPEC).equals(
        normalise_transactions(shop.transactions, SPEC)
    )
    assert shop.orders["is_fraud"].equals(shop.labels["is_fraud"])


def test_there_are_three_kinds_of_fraud_one_or_two_in_a_hundred_orders(shop):
    scenario = shop.truth["scenario"].to_numpy()
    assert (shop.labels["is_fraud"].to_numpy() == (scenario > 0)).all()
    assert 0.01 < (simulate_shop(ShopConfig()).truth["scenario"].to_numpy() > 0).mean() < 0.02
    per_day = np.bincount(scenario) / SMALL.n_days
    assert 2 < per_day[TAKEOVER] < 9
    assert 1 < per_day[RING] < 14
    assert 3 < per_day[GIFT_CARD_ABUSE] < 9


def test_what_is_missing_is_missing_in_frauds_and_others(shop):
    for name, least, most in (("device_id", 0.03, 0.3), ("country", 0.002, 0.03)):
        for scenario in range(4):
            values = column(shop, name, scenario=scenario)
            assert values.null_count <= most * len(values)
        assert column(shop, name).null_count > least * shop.transactions.num_rows
    guests = shop.transactions.filter(pc.is_null(column(shop, "account_age_days")))
    assert 0.05 < guests.num_rows / shop.transactions.num_rows < 0.2
    assert (column(shop, "account_age_days").drop_null().to_numpy() >= 0).all()
    for name in ("merchant_category", "email_domain", "basket_size"):
        assert column(shop, name).null_count == 0


def test_values_are_many_rare_and_new_over_time(shop):
    n = shop.transactions.num_rows
    assert len(pc.unique(column(shop, "device_id"))) > n / 10
    category = column(shop, "merchant_category")
    assert 0 < pc.sum(pc.equal(category, "antiques")).as_py() < n / 200
    for name, begin in (("vaping", 0.4), ("collectibles", 0.75)):
        sold = column(shop, "timestamp").filter(pc.equal(category, name))
        day = (pc.min(sold).as_py().date() - SMALL.start) / dt.timedelta(days=1)
        assert begin * SMALL.n_days <= day < (begin + 0.2) * SMALL.n_days


def test_frauds_are_what_they_are_called(shop):
    devices_of_rings = column(shop, "device_id", scenario=RING).drop_null().value_counts()
    assert pc.mean(devices_of_rings.field("counts")).as_py() > 5
    age = column(shop, "account_age_days", scenario=GIFT_CARD_ABUSE)
    assert pc.max(age).as_py() < 2
    bought = column(shop, "merchant_category", scenario=GIFT_CARD_ABUSE)
    assert bought.unique().to_pylist() == ["gift_cards"]
    taken_over = column(shop, "account_age_days", scenario=TAKEOVER)
    assert taken_over.null_count == 0
    assert pc.min(taken_over).as_py() > 30


def test_no_single_value_gives_a_fraud_away(shop):
    """Honest orders share what frauds have: gift cards, young accounts, countries, domains."""
    honest = pc.equal(shop.truth["scenario"], 0)
    young = pc.less(column(shop, "account_age_days"), 1)
    gift = pc.equal(column(shop, "merchant_category"), "gift_cards")
    honest_young_gifts = pc.sum(pc.and_(honest, pc.and_(young, gift))).as_py()
    assert honest_young_gifts > len(column(shop, "amount", scenario=GIFT_CARD_ABUSE)) / 4
    for scenario in (TAKEOVER, RING):
        for name in ("merchant_category", "country"):
            theirs = set(column(shop, name, scenario=scenario).to_pylist())
            assert theirs <= set(column(shop, name, scenario=0).to_pylist())


def test_the_examples_features_tell_frauds_apart(shop):
    features = compute_features(shop.transactions, shop.labels, SPEC)
    matrix = feature_matrix(features)
    assert matrix.shape == (shop.transactions.num_rows, len(SPEC.names))
    assert not np.isinf(matrix).any()
    assert np.isnan(matrix).any()
    scenario = shop.truth["scenario"].to_numpy()
    accounts = matrix[:, SPEC.names.index("device_accounts_7d")]
    assert np.nanmean(accounts[scenario == RING]) > 3 > 2 > np.nanmean(accounts[scenario == 0])
    known = matrix[:, SPEC.names.index("account_device_age")]
    assert np.nanmedian(known[scenario == TAKEOVER]) < np.nanmedian(known[scenario == 0]) / 10


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_accounts": 9}, "n_accounts must be at least 10, got 9"),
        ({"n_days": 0}, "n_days must be at least 1"),
        ({"rings_a_day": -1}, "rings_a_day must be finite and at least 0"),
        ({"abuses_a_day": float("nan")}, "abuses_a_day must be finite"),
        ({"label_delay": dt.timedelta(-1)}, "label_delay must not be negative"),
    ],
)
def test_a_wrong_configuration_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        ShopConfig(**config)


def test_without_frauds_all_are_honest():
    shop = simulate_shop(
        ShopConfig(n_accounts=50, n_days=20, takeovers_a_day=0, rings_a_day=0, abuses_a_day=0)
    )
    assert not pc.any(shop.labels["is_fraud"]).as_py()
