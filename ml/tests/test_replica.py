"""A replica is a function of what it was told, and of nothing else."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

from fraud_ml import journal_entries
from fraud_ml.default_specs import handbook_spec
from fraud_ml.errors import DataError
from fraud_ml.feature_state import FeatureState
from fraud_ml.journal_entries import Labels, Transactions, label_entries
from fraud_ml.replica import REMEMBERED, Head, Replica, head_of, name_of_snapshots

SPEC = handbook_spec(label_delay=dt.timedelta(days=2))
OTHER = handbook_spec(label_delay=dt.timedelta(days=1))
HOUR = 3_600_000_000


def columns(*ids: int) -> dict[str, list]:
    return {
        "transaction_id": list(ids),
        "timestamp": [HOUR * number for number in ids],
        "customer_id": [number % 3 for number in ids],
        "terminal_id": [f"t{number % 2}" for number in ids],
        "amount": [float(number) for number in ids],
    }


def entry(*ids: int) -> bytes:
    return journal_entries.encode(Transactions(columns(*ids)))


def replica_of(*batches: tuple[int, ...]) -> Replica:
    replica = Replica(FeatureState(SPEC))
    for number, ids in enumerate(batches):
        replica.apply(number + 1, entry(*ids))
    return replica


def test_what_was_saved_goes_on_as_if_it_had_not_been() -> None:
    replica = replica_of((1, 2, 3), (4,), (5, 6))
    other = Replica.from_bytes(replica.to_bytes(), SPEC)
    for each in (replica, other):
        each.apply(4, journal_entries.encode(Labels([1, 2], [True, False], [HOUR, HOUR])))
    later = entry(6, 7, 100)  # one of them again
    np.testing.assert_array_equal(replica.apply(5, later), other.apply(5, later))
    assert replica.to_bytes() == other.to_bytes()


def test_history_counts_as_entries_do_and_entries_of_the_same_transactions_not_again() -> None:
    lived = replica_of((1, 2), (3, 4, 5), (6,))
    told = Replica(FeatureState(SPEC))
    told.count(columns(1, 2, 3, 4))
    for number, ids in enumerate(((1, 2), (3, 4, 5), (6,))):
        told.apply(number + 1, entry(*ids))
    assert told.to_bytes() == lived.to_bytes()


def test_one_that_began_elsewhere_is_told_apart_and_keeps_its_origin() -> None:
    told = Replica(FeatureState(SPEC), position=7)
    told.count(columns(1, 2, 3))
    told.begin_here()
    same = Replica(FeatureState(SPEC), position=7)
    same.count(columns(1, 2, 3))
    same.begin_here()
    assert told.origin == same.origin != ""
    same.count(columns(4))
    same.begin_here()
    assert told.origin != same.origin
    again = Replica.from_bytes(told.to_bytes(), SPEC)
    again.apply(8, entry(5))
    assert (again.origin, again.position) == (told.origin, 8)


def test_the_beginning_of_the_bytes_says_how_far_and_from_where() -> None:
    replica = replica_of((1, 2), (3,))
    start = replica.to_bytes()[:1_000]
    assert head_of(start) == Head(position=2, origin="")
    replica.begin_here()
    assert head_of(replica.to_bytes()[:1_000]) == Head(position=2, origin=replica.origin)
    for damaged in (b"", start[:30], start[:40] + b"\xff" + start[41:], b"x" * 500):
        assert head_of(damaged) is None


def test_bytes_from_before_there_were_origins_are_read() -> None:
    replica = replica_of((1, 2))
    content = replica.to_bytes()
    length = int.from_bytes(content[16:24], "little")
    assert "origin" not in json.loads(content[24 : 24 + length])  # none is written, either
    assert Replica.from_bytes(content, SPEC).to_bytes() == content


def test_other_bytes_are_refused() -> None:
    content = replica_of((1, 2)).to_bytes()
    with pytest.raises(DataError, match="other features"):
        Replica.from_bytes(content, OTHER)
    for at in range(0, len(content), 101):
        with pytest.raises(DataError, match="damaged"):
            Replica.from_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], SPEC)


def test_entries_follow_one_another() -> None:
    replica = replica_of((1,))
    for position in (1, 3):
        with pytest.raises(ValueError, match="does not follow"):
            replica.apply(position, entry(2))
        with pytest.raises(ValueError, match="does not follow"):
            replica.pass_over(position, entry(2))
    replica.pass_over(2, entry(2))
    assert replica.has_applied(2, entry(2))
    assert replica.features_of(2) is None


def test_as_many_transactions_are_remembered_as_it_says() -> None:
    replica = Replica(FeatureState(SPEC))
    for start in range(0, REMEMBERED + 10, 4_096):
        replica.count(columns(*range(start, min(start + 4_096, REMEMBERED + 10))))
    assert replica.features_of(9) is None
    assert replica.features_of(10) is not None


def test_each_spec_has_a_place_of_its_own() -> None:
    assert name_of_snapshots(SPEC) != name_of_snapshots(OTHER)


def labels(**changes: pa.Array) -> pa.Table:
    times = pa.array([HOUR, None], pa.timestamp("us", tz="UTC"))
    there = {"transaction_id": pa.array([1, 2]), "is_fraud": pa.array([1, 0]), "labelled_at": times}
    return pa.table(there | changes)


def test_labels_become_entries() -> None:
    (value,) = label_entries(labels())
    assert journal_entries.decode(value) == Labels([1, 2], [True, False], [HOUR, None])
    many = pa.concat_tables([labels()] * 10_001)
    sizes = [len(journal_entries.decode(v).transaction_id) for v in label_entries(many)]
    assert sizes == [10_000, 10_000, 2]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (labels().drop_columns("is_fraud"), "lack is_fraud"),
        (labels(labelled_at=pa.array([0, 0], pa.timestamp("us"))), "zone"),
        (labels(transaction_id=pa.array([1, None])), "nulls"),
        (labels(is_fraud=pa.array([2, 0])), "0 or 1"),
        (labels(is_fraud=pa.array(["yes", "no"])), "true/false or 0/1"),
    ],
)
def test_what_are_no_labels_is_said_before_the_first_entry(table, message) -> None:
    with pytest.raises(DataError, match=message):
        label_entries(table)
