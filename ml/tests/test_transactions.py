import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from fraud_ml.errors import DataError
from fraud_ml.feature_spec import (
    Aggregate,
    ColumnFeature,
    ColumnKind,
    FeatureSpec,
    WindowFeature,
)
from fraud_ml.transactions import normalise_labels, normalise_times, normalise_transactions

UTC = dt.UTC


def payments(**columns):
    """Three valid payments, out of order, some columns replaced."""
    return pa.table(
        {
            "transaction_id": [11, 12, 10],
            "timestamp": pa.array(
                [dt.datetime(2018, 4, day, tzinfo=UTC) for day in (2, 3, 1)],
                pa.timestamp("us", "UTC"),
            ),
            "customer_id": [1, 2, 1],
            "terminal_id": ["a", "b", "a"],
            "amount": [20.0, 30.0, 10.0],
        }
        | columns
    )


def at(*texts):
    return [dt.datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]


def times_of(column):
    return normalise_transactions(payments(timestamp=column))["timestamp"].to_pylist()


# ---------------------------------------------------------------- what is accepted


def test_rows_are_sorted_by_time_then_id_and_other_columns_left_out():
    same = pa.array(at("2018-04-01") * 3)
    table = payments(timestamp=same, note=["x", "y", "z"])
    normal = normalise_transactions(table)
    assert normal["transaction_id"].to_pylist() == [10, 11, 12]
    assert normal.column_names == [
        "transaction_id",
        "timestamp",
        "customer_id",
        "terminal_id",
        "amount",
    ]
    assert normalise_transactions(payments())["amount"].to_pylist() == [10.0, 20.0, 30.0]


def test_normalising_twice_changes_nothing():
    once = normalise_transactions(payments())
    assert normalise_transactions(once).equals(once, check_metadata=True)


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([11, 12, 10], pa.int8()),
        pa.array([11, 12, 10], pa.uint64()),
        pa.array([11, 12, 10], pa.int32()).dictionary_encode(),
        pa.array(["11", "12", "10"]),
        pa.array(["11", "12", "10"], pa.large_string()),
        pa.array(["11", "12", "10"], pa.string_view()),
        pa.array(["11", "12", "10"]).dictionary_encode(),
    ],
    ids=lambda ids: str(ids.type),
)
def test_ids_are_text_or_whole_numbers_of_any_width(ids):
    normal = normalise_transactions(payments(transaction_id=ids, customer_id=ids))
    for name in ("transaction_id", "customer_id"):
        assert normal.schema.field(name).type in (pa.string(), pa.int64())
        assert [str(v) for v in normal[name].to_pylist()] == ["10", "11", "12"]


@pytest.mark.parametrize(
    "amounts",
    [
        pa.array([20, 30, 10], pa.int16()),
        pa.array([20, 30, 10], pa.float32()),
        pa.array([Decimal("20.00"), Decimal("30.00"), Decimal("10.00")]),
    ],
    ids=lambda amounts: str(amounts.type),
)
def test_amounts_are_any_numbers(amounts):
    normal = normalise_transactions(payments(amount=amounts))
    assert normal["amount"].to_pylist() == [10.0, 20.0, 30.0]
    assert normal.schema.field("amount").type == pa.float64()


def test_naive_times_are_utc_and_other_zones_are_converted():
    naive = [dt.datetime(2018, 4, 1, hour) for hour in (2, 3, 1)]  # noqa: DTZ001
    hours = at("2018-04-01T01:00", "2018-04-01T02:00", "2018-04-01T03:00")
    assert times_of(pa.array(naive, pa.timestamp("s"))) == hours
    for zone in ("Europe/Paris", "+02:00"):
        column = pa.array(naive, pa.timestamp("ms", "UTC")).cast(pa.timestamp("ms", zone))
        assert times_of(column) == hours


def test_nanoseconds_are_cut_off():
    column = pa.array([2_999, 3_000, 1_001], pa.timestamp("ns"))
    assert [time.microsecond for time in times_of(column)] == [1, 2, 3]


def test_dates_are_their_first_instant():
    column = pa.array([dt.date(2018, 4, day) for day in (2, 3, 1)])
    assert times_of(column) == at("2018-04-01", "2018-04-02", "2018-04-03")


def test_iso_texts_are_parsed_with_and_without_zone_in_one_column():
    column = ["2018-04-01 12:00:00.123456789", "2018-04-01T14:30:00.5+02:00", "2018-04-01"]
    expected = at("2018-04-01", "2018-04-01T12:00:00.123456", "2018-04-01T12:30:00.5")
    assert times_of(pa.array(column)) == expected
    assert times_of(pa.array(["2018-04-01T12:00:00Z"] * 3)) == at("2018-04-01T12:00") * 3


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"amount": pa.array(["20", "30", "10"])},
            "column 'amount': amounts must be numbers, got string; cast the column",
        ),
        ({"amount": pa.array([True, False, True])}, "amounts must be numbers, got bool"),
        ({"customer_id": pa.array([1.0, 2.0, 3.0])}, "column 'customer_id': ids must be text or"),
        (
            {"terminal_id": pa.array([2**63, 1, 2], pa.uint64())},
            "column 'terminal_id': an id or category does not fit 64 bits",
        ),
        (
            {"amount": pa.array([20.0, None, None])},
            r"column 'amount': null in row 1 \(the first is 0\), transaction_id 12, 2 such rows",
        ),
        ({"transaction_id": pa.array([1, None, 2])}, "column 'transaction_id': null in row 1"),
        ({"timestamp": pa.nulls(3)}, "column 'timestamp': null in row 0"),
        (
            {"amount": pa.array([20.0, float("nan"), -1.0])},
            r"below 1e\+13, got nan in row 1 \(the first is 0\), transaction_id 12, 2 such rows",
        ),
        ({"amount": pa.array([20.0, 1.0, float("inf")])}, "got inf in row 2"),
        ({"amount": pa.array([2**63 - 1, 1, 2])}, r"got 9\.22\S*e\+18 in row 0"),
        ({"amount": pa.array([-0.01, 1.0, 2.0])}, "got -0.01 in row 0"),
        (
            {"transaction_id": pa.array([7, 8, 7])},
            r"column 'transaction_id': 7 occurs in row 0 and again in row 2 \(the first is 0\), 1",
        ),
        (
            {"timestamp": pa.array([1, 2, 3], pa.timestamp("us", "Mars/Phobos"))},
            "column 'timestamp': unknown time zone 'Mars/Phobos'; convert the column to UTC",
        ),
        (
            {"timestamp": pa.array([1522540800, 1522540801, 1522540802])},
            r"column 'timestamp': numbers \(int64\) are ambiguous as times",
        ),
        (
            {"timestamp": pa.array(["2018-04-01", "2018-13-01", "2018-04-02"])},
            "'2018-13-01' in row 1 .* write it as 2018-04-01T13:30:00Z",
        ),
        (
            {"timestamp": pa.array(["2018-04-01", "2018-04-02", "soon"])},
            r"column 'timestamp': .* 'soon' in row 2 \(the first is 0\), transaction_id 10",
        ),
        (
            {"timestamp": pa.array([0, 2**62, 0], pa.timestamp("s"))},
            r"between the years 1 and 9999: 4611686018427387904 \(timestamp\[s\]\) in row 1",
        ),
        (
            {"timestamp": pa.array([0, 0, -(2**60)], pa.timestamp("us", "UTC"))},
            "between the years 1 and 9999: .* in row 2",
        ),
        ({"timestamp": pa.array([True, False, True])}, "must be timestamps, dates or ISO 8601"),
    ],
)
def test_a_wrong_column_is_named_with_its_row(columns, message):
    with pytest.raises(DataError, match=message):
        normalise_transactions(payments(**columns))


def test_a_missing_column_is_named_and_those_there_are_listed():
    with pytest.raises(
        DataError,
        match="missing column 'amount'; the table has: transaction_id, timestamp, customer_id",
    ):
        normalise_transactions(payments().drop_columns("amount"))


def test_a_column_that_is_there_twice_is_refused():
    twice = payments().append_column("amount", pa.array([1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="column 'amount' is there more than once"):
        normalise_transactions(twice)


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="no transactions"):
        normalise_transactions(payments().slice(0, 0))


def test_messages_use_the_users_names():
    names = {"amount": "betrag", "transaction_id": "nr"}
    with pytest.raises(DataError, match=r"column 'betrag' \(amount\): null in row 0"):
        normalise_transactions(payments(amount=pa.nulls(3, pa.float64())), source_names=names)
    with pytest.raises(DataError, match=r"missing column 'betrag' \(amount\); the table has: nr"):
        normalise_transactions(payments().drop_columns("amount"), source_names=names)


# ---------------------------------------------------------------- columns of the user's own


SHOP = FeatureSpec(
    features=(
        ColumnFeature(name="age", column="age", kind=ColumnKind.NUMERIC),
        ColumnFeature(name="category", column="category", kind=ColumnKind.CATEGORY),
        WindowFeature(
            name="same_device", key="device", aggregate=Aggregate.COUNT, window=dt.timedelta(days=1)
        ),
    )
)


def orders(**columns):
    """Three valid orders of a shop, which has no terminals."""
    own = {"age": [1, None, 3], "category": ["books", None, "toys"], "device": ["x", None, "y"]}
    return payments(**(own | columns)).drop_columns("terminal_id")


def test_the_specs_columns_are_kept_and_no_others_asked_for():
    normal = normalise_transactions(orders(note=["x", "y", "z"]), SHOP)
    assert normal.schema.names == [
        *("transaction_id", "timestamp", "customer_id"),
        *("age", "category", "device"),
        "amount",
    ]
    assert normal["age"].to_pylist() == [3.0, 1.0, None]
    assert normal["category"].to_pylist() == ["toys", "books", None]
    assert normal["device"].to_pylist() == ["y", "x", None]
    assert normalise_transactions(normal, SHOP).equals(normal, check_metadata=True)


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        (pa.array([1, None, 3], pa.uint8()), [3.0, 1.0, None]),
        (pa.array([1.5, float("nan"), -3.5], pa.float32()), [-3.5, 1.5, None]),
        (pa.array([Decimal("1.25"), None, Decimal("3.00")]), [3.0, 1.25, None]),
        (pa.array([True, None, False]), [0.0, 1.0, None]),
        (pa.array([2**63, None, 3], pa.uint64()), [3.0, 2.0**63, None]),
        (pa.nulls(3), [None] * 3),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_numbers_may_be_of_any_type_and_missing(ages, expected):
    normal = normalise_transactions(orders(age=ages), SHOP)
    assert normal.schema.field("age").type == pa.float64()
    assert normal["age"].to_pylist() == expected


@pytest.mark.parametrize(
    ("categories", "kind"),
    [
        (pa.array([5411, None, 7], pa.int16()), pa.int64()),
        (pa.array([True, None, False]), pa.bool_()),
        (pa.array(["a", None, "b"], pa.large_string()), pa.string()),
        (pa.array(["a", None, "b"]).dictionary_encode(), pa.string()),
        (pa.nulls(3), pa.string()),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_categories_and_keys_are_text_whole_numbers_or_booleans_and_may_be_missing(
    categories, kind
):
    normal = normalise_transactions(orders(category=categories, device=categories), SHOP)
    of_11, of_12, of_10 = categories.to_pylist()
    for name in ("category", "device"):
        assert normal.schema.field(name).type == kind
        assert normal[name].to_pylist() == [of_10, of_11, of_12]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"age": pa.array(["1", "2", "3"])},
            "column 'age': must be numbers or true/false, got string; cast the column, or declare",
        ),
        (
            {"age": pa.array([1.0, float("inf"), float("-inf")])},
            r"column 'age': must be finite and within 3.403e\+38, got inf in row 1 \(the first is 0"
            r"\), transaction_id 12, 2 such rows",
        ),
        ({"age": pa.array([1.0, None, -1e39])}, r"got -1e\+39 in row 2"),
        (
            {"category": pa.array([5411.0, 1.0, 2.0])},
            "column 'category': categories and keys must be text, whole numbers or true/false, got"
            " double; cast the column",
        ),
        ({"device": pa.array([2**63, 1, 2], pa.uint64())}, "'device': an id or category does not"),
    ],
)
def test_a_wrong_column_of_the_users_is_named_with_its_row(columns, message):
    with pytest.raises(DataError, match=message):
        normalise_transactions(orders(**columns), SHOP)


def test_a_column_that_the_spec_reads_and_the_data_lack_is_named_with_its_feature():
    with pytest.raises(
        DataError,
        match=r"missing column 'Gerät' \(device\), which feature 'same_device' reads; the table"
        " has: transaction_id, timestamp, customer_id, amount, age, category",
    ):
        normalise_transactions(
            orders().drop_columns("device"), SHOP, source_names={"device": "Gerät"}
        )
    with pytest.raises(DataError, match="missing column 'terminal_id', which feature"):
        normalise_transactions(orders())


# ---------------------------------------------------------------- labels


@pytest.fixture
def transactions():
    return normalise_transactions(payments())  # ids 10, 11, 12 on 1, 2, 3 April


def labels(**columns):
    return pa.table({"transaction_id": [12, 10], "is_fraud": [True, False]} | columns)


def test_labels_are_put_in_the_order_of_transactions_and_absent_ones_are_null(transactions):
    found = pa.array(at("2018-05-01", "2018-05-02"))
    normal = normalise_labels(labels(labelled_at=found), transactions)
    assert normal.to_pydict() == {
        "transaction_id": [10, 11, 12],
        "is_fraud": [False, None, True],
        "labelled_at": [*at("2018-05-02"), None, *at("2018-05-01")],
    }


def test_a_label_without_its_time_is_found_after_the_label_delay(transactions):
    normal = normalise_labels(labels(), transactions, label_delay=dt.timedelta(days=2))
    assert normal["labelled_at"].to_pylist() == [*at("2018-04-03"), None, *at("2018-04-05")]
    some = pa.array([None, *at("2018-05-02")])
    normal = normalise_labels(labels(labelled_at=some), transactions)
    assert normal["labelled_at"].to_pylist() == [*at("2018-05-02"), None, *at("2018-04-10")]


def test_labels_may_be_columns_of_the_transactions_own_table(transactions):
    own = payments(is_fraud=pa.array([0, None, 1], pa.int8()))
    normal = normalise_labels(own, transactions)
    assert normal["is_fraud"].to_pylist() == [True, False, None]


@pytest.mark.parametrize("as_text", [False, True])
def test_labels_of_the_own_table_are_joined_whatever_the_order(as_text):
    ids = [(it * 37) % 101 for it in range(101)]
    own = pa.table(
        {
            "transaction_id": [str(it) for it in ids] if as_text else ids,
            "timestamp": [dt.datetime(2018, 4, 1 + it % 9, tzinfo=dt.UTC) for it in range(101)],
            "customer_id": [7] * 101,
            "terminal_id": [8] * 101,
            "amount": [1.0] * 101,
            "is_fraud": [it % 3 == 0 for it in ids],
        }
    )
    transactions = normalise_transactions(own)
    normal = normalise_labels(own, transactions)
    assert normal["transaction_id"].equals(transactions["transaction_id"])
    assert normal["is_fraud"].to_pylist() == [
        int(it) % 3 == 0 for it in transactions["transaction_id"].to_pylist()
    ]
    twice = pa.concat_tables([own, own.slice(0, 1)])
    with pytest.raises(DataError, match="occurs in row 0 and again in row 101"):
        normalise_labels(twice, transactions)
    with pytest.raises(DataError, match="occurs in row 0 and again in row 101"):
        normalise_transactions(twice)


def test_times_alone_are_typed_and_nulls_kept():
    table = pa.table({"timestamp": ["2018-04-01", None, "2018-04-01T02:00:00+02:00"]})
    times = normalise_times(table)
    assert times.type == pa.timestamp("us", tz="UTC")
    first = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
    assert times.to_pylist() == [first, None, first]
    named = pa.table({"timestamp": ["soon"]})
    with pytest.raises(DataError, match="'PAID_AT'"):
        normalise_times(named, source_names={"timestamp": "PAID_AT"})


def test_no_labels_at_all_is_all_unknown(transactions):
    empty = pa.table({"transaction_id": pa.array([], pa.int64()), "is_fraud": pa.nulls(0)})
    assert normalise_labels(empty, transactions)["is_fraud"].null_count == 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"transaction_id": [12, 99]}, r"99 \(row 1, the first is 0\) is no transaction's, 1 such"),
        ({"transaction_id": ["12", "10"]}, "ids of type string, transactions of type int64"),
        ({"transaction_id": [12, 12]}, "12 occurs in row 0 and again in row 1"),
        ({"is_fraud": [1, 2]}, "column 'is_fraud': must be 0 or 1, got 2 in row 1"),
        ({"is_fraud": ["yes", "no"]}, "column 'is_fraud': must be true/false or 0/1, got string"),
        (
            {"labelled_at": pa.array(at("2018-04-02", "2018-05-01"))},
            "column 'labelled_at': 2018-04-02 .* is before its transaction .* transaction_id 12",
        ),
    ],
)
def test_wrong_labels_are_refused(transactions, columns, message):
    with pytest.raises(DataError, match=message):
        normalise_labels(labels(**columns), transactions)


def test_labels_need_their_column(transactions):
    with pytest.raises(DataError, match="missing column 'is_fraud'"):
        normalise_labels(payments(), transactions)
