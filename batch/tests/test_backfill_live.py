"""A rebuilt state, and what a service makes of it, are those of one that lived through all.

Random streams, cut at random: what the journal has forgotten, what it holds when the state is
rebuilt, what comes later; and up to when the history goes.
"""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from streams import (
    SPEC,
    append,
    columns_of,
    entries_of,
    last_time,
    lived_through,
    replayed,
    small_stream,
)

from batch_proc import live_journal
from batch_proc.backfill import backfill
from batch_proc.backfill_options import BackfillOptions
from batch_proc.backfill_work import Progress
from batch_proc.errors import BackfillError
from batch_proc.live_journal import LiveJournal
from batch_proc.progress import Stages
from batch_proc.rebuild import swap_in
from data_connector import JournalHolds, SnapshotStore, load, open_journal
from fraud_ml import journal_entries
from fraud_ml.errors import DataError
from fraud_ml.feature_state import FeatureState
from fraud_ml.features import compute_features
from fraud_ml.journal_entries import Transactions
from fraud_ml.replica import Replica, head_of, name_of_snapshots

NAME = name_of_snapshots(SPEC)


class Place:
    """A feature store with the journal of a service, and a history beside it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.url = f"sqlite:///{folder / 'features.db'}"
        self._history = str(folder / "history.parquet")
        self._labels = str(folder / "labels.parquet")

    def options(self, payments: pa.Table, labels: pa.Table, until: int | None) -> BackfillOptions:
        load(payments, self._history, if_exists="replace")
        load(labels, self._labels, if_exists="replace")
        return BackfillOptions(
            transactions=self._history,
            table=None,
            column_names={},
            labels=self._labels,
            labels_table=None,
            label_delay=dt.timedelta(days=1),
            spec=SPEC,
            of="a test",
            until=until,
            feature_store=self.url,
            save_every=60,
            resume=False,
            json_path=None,
        )

    def backfill(self, payments: pa.Table, labels: pa.Table, until: int | None = None) -> Replica:
        """Rebuilds the state, and loads it as a service would."""
        backfill(self.options(payments, labels, until), self.home, Stages())
        return self.stored()

    def stored(self) -> Replica:
        with closing(SnapshotStore(self.url, name=NAME)) as store:
            return Replica.from_bytes(store.load() or b"", SPEC)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("seed", range(15))
def test_features_of_all_that_comes_later_are_the_same_to_the_last_bit(
    place: Place, seed: int
) -> None:
    random = Random(seed)
    stream = small_stream(seed)
    values = entries_of(stream, random)
    forgotten = random.choice([0, random.randrange(len(values))])
    held = random.randint(forgotten, len(values))
    with open_journal(place.url) as journal:
        append(journal, values[:held])
        journal.trim(forgotten)
    first = stream.transactions["timestamp"][0].cast(pa.int64()).as_py()
    earliest = max(last_time(values[:forgotten]), first) + 1
    latest = max(earliest, last_time(values)) + 1
    until = random.choice([None, random.randint(earliest, latest)])
    replica = place.backfill(stream.transactions, stream.labels, until)
    assert replica.position == held
    with open_journal(place.url) as journal:
        append(journal, values[held:])
        assert [entry.value for entry in journal.since(held)] == values[held:]
    np.testing.assert_array_equal(replayed(replica, values), lived_through(values, held))


@pytest.mark.parametrize("seed", range(15, 25))
def test_so_they_are_where_payments_come_late_after_what_is_forgotten(
    place: Place, seed: int
) -> None:
    random = Random(seed)
    stream = small_stream(seed)
    payments = stream.transactions
    n_in_order = random.randrange(100, 200)
    order = np.arange(payments.num_rows, dtype=float)
    order[n_in_order:] += np.array([random.choice([0, 0, 0, 30]) for _ in order[n_in_order:]])
    arrived = payments.take(np.argsort(order, kind="stable"))
    stream = replace(stream, transactions=arrived)
    values = entries_of(stream, random)
    n_seen, forgotten = 0, 0
    while n_seen < n_in_order:
        entry = journal_entries.decode(values[forgotten])
        n_seen += len(entry.columns["amount"]) if isinstance(entry, Transactions) else 0
        forgotten += n_seen <= n_in_order
    held = random.randint(forgotten, len(values))
    with open_journal(place.url) as journal:
        append(journal, values[:held])
        journal.trim(forgotten)
    there = sum(
        len(entry.columns["amount"])
        for entry in map(journal_entries.decode, values[:held])
        if isinstance(entry, Transactions)
    )
    replica = place.backfill(arrived.slice(0, there), stream.labels)
    np.testing.assert_array_equal(replayed(replica, values), lived_through(values, held))


@pytest.mark.parametrize("seed", range(3))
def test_payments_that_never_came_through_the_service_count_in_their_time(
    place: Place, seed: int
) -> None:
    """As if all had come through it one by one, which is what the batch engine computes."""
    random = Random(seed)
    stream = small_stream(seed)
    payments = stream.transactions
    online = [random.random() < 0.6 for _ in range(payments.num_rows - 50)] + [True] * 50
    with open_journal(place.url) as journal:
        for row in np.flatnonzero(online[:-50]):
            entry = Transactions(columns_of(payments.slice(row, 1)))
            append(journal, [journal_entries.encode(entry)])
    replica = place.backfill(payments.slice(0, payments.num_rows - 50), stream.labels)
    n = payments.num_rows
    found = [replica.count(columns_of(payments.slice(row, 1))) for row in range(n - 50, n)]
    # What is known by the end of the history of labels that come later is not told here.
    known = stream.labels.filter(
        pc.less_equal(stream.labels["transaction_id"], payments["transaction_id"][-51])
    )
    whole = compute_features(payments, known, SPEC).slice(payments.num_rows - 50)
    expected = np.column_stack([whole[name].to_numpy() for name in SPEC.names])
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-9, rtol=1e-9)


def test_beside_no_journal_it_is_the_state_at_a_point_in_time(place: Place) -> None:
    stream = small_stream(0)
    payments = stream.transactions
    until = payments["timestamp"][200].cast(pa.int64()).as_py()
    n_before = int(np.searchsorted(payments["timestamp"].cast(pa.int64()).to_numpy(), until))
    replica = place.backfill(payments, stream.labels, until)
    values = entries_of(replace(stream, transactions=payments.slice(0, n_before)), Random(0))
    lived = Replica(FeatureState(SPEC))
    replayed(lived, values)
    known = pc.less(stream.labels["labelled_at"], pa.scalar(until, pa.timestamp("us", tz="UTC")))
    lived.state.apply_labels(stream.labels.filter(known))
    later = columns_of(payments.slice(n_before))
    np.testing.assert_array_equal(replica.count(later), lived.count(later))


def test_a_newer_state_that_is_stored_meanwhile_stays_until_ours_is_as_new(place: Place) -> None:
    values = entries_of(small_stream(1), Random(1))
    with open_journal(place.url) as journal:
        append(journal, values[:20])

    class Overtaken(SnapshotStore):
        """Before each of the first saves the service goes on, and its keeper saves."""

        times = 0

        def save(self, content: bytes, *, check: object = None) -> None:
            if self.times < 3:
                self.times += 1
                with open_journal(place.url) as journal:
                    append(journal, values[20 * self.times : 20 * self.times + 20])
                    lived = Replica(FeatureState(SPEC))
                    replayed(lived, values[: journal.last()])
                super().save(lived.to_bytes())
            super().save(content, check=check)  # type: ignore[arg-type]

    with (
        LiveJournal(place.url, SPEC) as live,
        closing(Overtaken(place.url, name=NAME)) as store,
    ):
        live.begin()
        progress = Progress(replica=Replica(FeatureState(SPEC)))
        swap_in(progress.replica, store, live)
    stored = place.stored()
    assert stored.position == 80
    assert stored.origin == progress.replica.origin != ""


def test_beside_one_who_saves_all_the_time_the_stored_state_never_gets_older(place: Place) -> None:
    stream = small_stream(2)
    values = entries_of(stream, Random(2))
    done, seen = threading.Event(), []

    def serve_and_keep() -> None:
        """As the keeper does: a state of its own, saved unless another origin is there."""
        replica = Replica(FeatureState(SPEC))
        with (
            open_journal(place.url) as journal,
            closing(SnapshotStore(place.url, name=NAME)) as store,
        ):
            for position, value in enumerate(values, 1):
                append(journal, [value])
                replica.apply(position, value)
                if position % 10:
                    continue

                def check(start: bytes | None) -> None:
                    there = head_of(start or b"")
                    seen.append((there.origin, there.position) if there else ("", 0))
                    if there and there.origin:
                        raise LookupError

                try:
                    store.save(replica.to_bytes(), check=check)
                except Exception:
                    seen.append(("", -1))
        done.set()

    thread = threading.Thread(target=serve_and_keep)
    thread.start()
    rebuilt = place.backfill(stream.transactions, stream.labels)
    thread.join()
    assert done.is_set()
    origins = [origin for origin, position in seen if position >= 0]
    assert origins == sorted(origins, key=bool)  # once rebuilt, it stays so
    positions = [position for origin, position in seen if position >= 0 and not origin]
    assert positions == sorted(positions)
    assert rebuilt.position >= max(positions, default=0)
    assert place.stored().origin == rebuilt.origin
    found = replayed(place.stored(), values)
    np.testing.assert_array_equal(found, lived_through(values, rebuilt.position))


def test_the_journal_is_held_until_a_service_had_time_to_start(place: Place) -> None:
    stream = small_stream(3)
    values = entries_of(stream, Random(3))
    with open_journal(place.url) as journal:
        append(journal, values[:30])
        journal.trim(10)
    held = JournalHolds(place.url)
    with LiveJournal(place.url, SPEC) as live:
        live.begin()
        assert held.needed_after() == live.start == 10
    replica = place.backfill(stream.transactions, stream.labels)
    assert held.needed_after() == replica.position == 30
    held.close()


def test_a_journal_that_is_trimmed_meanwhile_is_said(place: Place) -> None:
    values = entries_of(small_stream(4), Random(4))
    with open_journal(place.url) as journal, LiveJournal(place.url, SPEC) as live:
        append(journal, values[:30])
        live.begin()
        journal.trim(20)  # by one who knows no holds
        with pytest.raises(BackfillError, match="trimmed before this had read it"):
            live.apply_next(Replica(FeatureState(SPEC)))


def test_entries_without_what_the_features_read_count_as_the_history_says(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    stream = small_stream(5)
    payments = stream.transactions.slice(0, 100)
    without = columns_of(payments)
    del without["terminal_id"]
    with open_journal(place.url) as journal:
        append(journal, [journal_entries.encode(Transactions(without))])
    replica = place.backfill(payments.slice(0, 90), stream.labels)
    assert replica.position == 1
    whole = Replica(FeatureState(SPEC))
    whole.count(columns_of(payments.slice(0, 90)))
    assert replica.state.n_keys == whole.state.n_keys
    assert caplog.text == ""
    measures = backfill(place.options(payments.slice(0, 90), stream.labels, None), place.home,
                        Stages())  # fmt: skip
    assert {m.name: m.value for m in measures}["lost"] == 10


def test_a_history_with_ids_of_another_type_is_refused(place: Place) -> None:
    stream = small_stream(6)
    with open_journal(place.url) as journal:
        append(journal, entries_of(stream, Random(6))[:3])
    payments = stream.transactions
    at = payments.column_names.index("customer_id")
    as_text = payments.set_column(at, "customer_id", payments["customer_id"].cast(pa.string()))
    with pytest.raises(DataError, match="column 'customer_id'.*cast the column"):
        place.backfill(as_text, stream.labels)


def test_a_long_journal_is_read_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_journal, "_AT_ONCE", 7)
    stream = small_stream(7)
    values = entries_of(stream, Random(7))
    with open_journal(place.url) as journal:
        append(journal, values[:60])
        journal.trim(5)
    replica = place.backfill(stream.transactions, stream.labels)
    np.testing.assert_array_equal(replayed(replica, values), lived_through(values, 60))
