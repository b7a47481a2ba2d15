"""Columns of the user's own, as features and as keys, in both engines."""

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fraud_ml._column_values import category_code
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import Aggregate, ColumnFeature, ColumnKind, FeatureSpec, WindowFeature
from fraud_ml.feature_state import FeatureState
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.transactions import normalise_transactions

HOUR = dt.timedelta(hours=1)
START = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
DEVICE_AND_COUNTRY = ("device", "country")

AGE = ColumnFeature(name="age", column="age", kind=ColumnKind.NUMERIC)
COUNTRY = ColumnFeature(name="country", column="country", kind=ColumnKind.CATEGORY)
SHIPPED = ColumnFeature(name="shipped", column="shipped", kind=ColumnKind.CATEGORY)


def window(key, aggregate, *, of=None, delay=0):
    return WindowFeature(
        name=f"{key}_{aggregate}_{of}_{delay}",
        key=key,
        aggregate=aggregate,
        window=None if aggregate is Aggregate.HISTORY_LENGTH else 5 * HOUR,
        delay=delay * HOUR,
        of=of,
    )


WINDOWS = (
    *(
        window(key, aggregate)
        for key in ("device", DEVICE_AND_COUNTRY)
        for aggregate in (
            Aggregate.COUNT,
            Aggregate.MEAN_AMOUNT,
            Aggregate.TIME_SINCE_LAST,
            Aggregate.HISTORY_LENGTH,
            Aggregate.FRAUD_COUNT,
        )
    ),
    window("device", Aggregate.FRAUD_RATE, delay=2),
    window("device", Aggregate.DISTINCT, of="customer_id"),
    window("shipped", Aggregate.MAX_AMOUNT),
)
DISTINCT_DEVICES = window("customer_id", Aggregate.DISTINCT, of="device")
SPEC = FeatureSpec(
    features=(AGE, *WINDOWS, COUNTRY, DISTINCT_DEVICES, SHIPPED), resolution=HOUR / 2
)

# Hours (of which a third may be late), customer, amount, device, country, shipped, age,
# hours until found to be a fraud.
ORDER = st.tuples(
    st.integers(0, 30).map(lambda thirds: thirds / 3),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([0.0, 19.99, 1e12]),
    st.sampled_from(["d1", "d2", None]),
    st.sampled_from([49, 33, 0, None]),
    st.sampled_from([True, False, None]),
    st.sampled_from([None, 0.0, -1.5, 3e38]),
    st.none() | st.integers(0, 9),
)
ORDERS = st.lists(ORDER, min_size=1, max_size=20)


def table_of(orders):
    hours, customer, amount, device, country, shipped, age, found = zip(*orders, strict=True)
    time = pa.timestamp("us", "UTC")
    ids = pa.array(range(len(orders)), pa.int64())
    transactions = pa.table(
        {
            "transaction_id": ids,
            "timestamp": pa.array([START + hour * HOUR for hour in hours], time),
            "customer_id": customer,
            "device": pa.array(device, pa.string()),
            "country": pa.array(country, pa.int64()),
            "shipped": pa.array(shipped, pa.bool_()),
            "age": pa.array(age, pa.float64()),
            "amount": pa.array(amount, pa.float64()),
        }
    )
    known = [
        None if wait is None else START + (hour + wait) * HOUR
        for hour, wait in zip(hours, found, strict=True)
    ]
    labels = pa.table(
        {
            "transaction_id": ids,
            "is_fraud": [None if at is None else True for at in known],
            "labelled_at": pa.array(known, time),
        },
        schema=pa.schema(
            [("transaction_id", pa.int64()), ("is_fraud", pa.bool_()), ("labelled_at", time)]
        ),
    )
    return transactions, labels


def assert_equal(ours, expected):
    assert ours.column_names == expected.column_names
    for name in ours.column_names:
        np.testing.assert_allclose(
            ours[name].to_numpy(), expected[name].to_numpy(), rtol=1e-9, err_msg=name
        )


NOBODY = (0.0, "ann", 0.0, None, None, None, None, 0)


@settings(max_examples=60)
@example(orders=[NOBODY, NOBODY], batch=1, saved=1)
@example(orders=[NOBODY, (0.0, "ann", 0.0, "d1", 49, None, None, 0)] * 2, batch=2, saved=1)
@given(orders=ORDERS, batch=st.integers(1, 5), saved=st.integers(0, 20))
def test_both_engines_agree_on_nulls_keys_and_categories(orders, batch, saved):
    transactions, labels = table_of(orders)
    state = FeatureState(SPEC)
    answers = []
    for start in range(0, len(orders), batch):
        part = transactions.slice(start, batch)
        answers.append(state.update_table(part))
        state.apply_labels(labels.slice(start, batch))
        if start <= saved < start + batch:
            state = FeatureState.from_bytes(state.to_bytes())
    if batch == 1:
        expected = [
            compute_features(
                transactions.slice(0, row + 1), labels.slice(0, row), SPEC, arrival_order=True
            ).slice(row)
            for row in range(len(orders))
        ]
        assert_equal(pa.concat_tables(answers), pa.concat_tables(expected))
    else:  # the first batch has seen no label
        first = compute_features(
            transactions.slice(0, batch), labels.slice(0, 0), SPEC, arrival_order=True
        )
        assert_equal(answers[0], first)


@settings(max_examples=40)
@given(orders=ORDERS)
def test_a_row_without_a_key_is_in_no_history_and_its_windows_are_missing(orders):
    transactions, labels = table_of(sorted(orders, key=lambda order: order[0]))
    for key, column in (("device", "device"), ("shipped", "shipped")):
        spec = FeatureSpec(features=tuple(f for f in WINDOWS if f.key == key))
        has_key = transactions[column].is_valid()
        ours = compute_features(transactions, labels, spec)
        alone = compute_features(transactions.filter(has_key), labels, spec)
        assert_equal(ours.filter(has_key), alone)
        for name in spec.names:
            others = ours.filter(transactions[column].is_null())[name].to_numpy()
            assert np.isnan(others).all()


def test_a_null_is_no_distinct_value():
    orders = [(hour, "ann", 1.0, device, 0, True, 0.0, None) for hour, device in
              ((0, None), (1, "d1"), (2, None), (3, "d2"), (3, "d1"))]  # fmt: skip
    counts = compute_features(*table_of(orders), FeatureSpec(features=(DISTINCT_DEVICES,)))
    assert counts[DISTINCT_DEVICES.name].to_pylist() == [0, 1, 1, 2, 2]


def test_columns_become_numbers_and_codes_that_float32_holds_exactly():
    orders = [
        (0, "ann", 1.0, None, 49, True, 2.5, None),
        (1, "ann", 1.0, None, None, None, None, None),
        (2, "ann", 1.0, None, 33, False, -1.0, None),
    ]
    features = compute_features(*table_of(orders), SPEC)
    nan = float("nan")
    np.testing.assert_array_equal(features["age"].to_numpy(), [2.5, nan, -1.0])
    codes = [category_code(49), nan, category_code(33)]
    np.testing.assert_array_equal(features["country"].to_numpy(), codes)
    matrix = feature_matrix(features.select(["country", "age"]))
    np.testing.assert_array_equal(matrix, np.array([codes, [2.5, nan, -1.0]]).T)


def test_codes_do_not_drift_and_depend_on_the_text_alone():
    assert category_code("books") == 2408518
    assert category_code(5411) == category_code("5411") == category_code(np.int64(5411)) == 3321594
    for yes in (True, "true", np.True_):
        assert category_code(yes) == 11675622
    assert len({category_code(value) for value in ("True", True, 1, "", " ", "É")}) == 6
    assert math.isnan(category_code(None))
    assert math.isnan(category_code(float("nan")))
    assert category_code("half a pair: \ud800") >= 0


def test_codes_of_many_values_spread_over_24_bits():
    codes = np.array([category_code(f"d{number}") for number in range(20_000)])
    np.testing.assert_array_equal(codes, codes.astype(np.float32))
    assert ((codes >= 0) & (codes < 2**24)).all()
    collisions = len(codes) - len(np.unique(codes))
    assert 2 <= collisions <= 27  # 12 are expected of a uniform hash: within four deviations


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("age", float("inf"), "feature 'age': column 'age' must hold numbers .* got inf"),
        ("age", -1e39, "got -1e\\+39"),
        ("age", 10**400, "must hold numbers that are finite"),
        ("age", "12", "or null, got '12'"),
        ("age", [1], r"got \[1\]"),
        ("country", 1.5, "feature 'country': categories in column 'country' must be .* got 1.5"),
        ("country", [1], r"got \[1\]"),
    ],
)
def test_values_that_are_no_number_or_category_are_refused_and_change_nothing(
    column, value, message
):
    transactions, _ = table_of([(0, "ann", 1.0, "d1", 49, True, 2.5, None)])
    payment = {name: transactions[name].to_pylist() for name in transactions.column_names}
    payment["timestamp"] = [0]
    state = FeatureState(SPEC)
    before = state.to_bytes()
    for wrong in ([value], [None, value]):
        with pytest.raises(DataError, match=message):
            state.update({name: v * len(wrong) for name, v in payment.items()} | {column: wrong})
    assert state.to_bytes() == before


def test_numbers_come_as_any_type():
    transactions, _ = table_of([(0, "ann", 1.0, "d1", 49, True, 2.5, None)] * 5)
    payment = {name: transactions[name].to_pylist() for name in transactions.column_names}
    payment["timestamp"] = [0] * 5
    payment["age"] = [None, True, Decimal("1.25"), np.float32(0.5), 7]
    ages = FeatureState(SPEC).update(payment)[:, SPEC.names.index("age")]
    np.testing.assert_array_equal(ages, [float("nan"), 1.0, 1.25, 0.5, 7.0])


def test_an_infinite_number_is_refused_in_a_table_too():
    transactions, labels = table_of([(0, "ann", 1.0, "d1", 49, True, math.inf, None)])
    with pytest.raises(DataError, match="feature 'age': column 'age' must hold numbers"):
        compute_features(transactions, labels, SPEC)
    with pytest.raises(DataError, match="column 'age': must be finite"):
        normalise_transactions(transactions, SPEC)


def test_a_missing_column_is_named_with_its_feature_in_both_engines():
    transactions, labels = table_of([(0, "ann", 1.0, "d1", 49, True, 2.5, None)])
    message = "missing column 'country', which feature .* reads; the transactions have: transac"
    with pytest.raises(DataError, match=message):
        compute_features(transactions.drop_columns("country"), labels, SPEC)
    with pytest.raises(DataError, match=message):
        FeatureState(SPEC).update_table(transactions.drop_columns("country"))
    for column in ("transaction_id", "amount"):
        spec = FeatureSpec(features=(AGE,))
        with pytest.raises(DataError, match=f"missing column '{column}'"):
            FeatureState(spec).update_table(transactions.drop_columns(column))
