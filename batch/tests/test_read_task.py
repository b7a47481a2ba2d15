"""The rows of the input on their way to the first stage: checked, counted, each with its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_proc.bucket_rows import Labels, Layout, Span
from batch_proc.bucketing import Buckets
from batch_proc.parts import PlacedError
from batch_proc.pieces import read_piece
from batch_proc.raw_rows import RawRows
from batch_proc.read_task import IDS, ById, ReadTask, repeated
from batch_proc.run_ledger import Step
from batch_proc.source_files import local_source
from fraud_ml.default_specs import HANDBOOK_SPEC

HOUR = 3_600_000_000  # microseconds
N = 240
NAMES = ("transaction_id", "timestamp", "customer_id", "terminal_id", "amount", "is_fraud")
LAYOUT = Layout(spec=HANDBOOK_SPEC, labels=Labels.ROW, label_delay=dt.timedelta(days=7))
COLUMN = LAYOUT.column
N_BUCKETS = 4


def payments(*, ids: list[object] | None = None, bad: int | None = None) -> pa.Table:
    """One an hour for ten days, in no order."""
    amount = np.ones(N)
    if bad is not None:
        amount[bad] = -1
    rows = pa.table(
        {
            "transaction_id": pa.array(ids) if ids else np.arange(N),
            "timestamp": pa.array(np.arange(N) * HOUR).cast(pa.timestamp("us")),
            "customer_id": np.arange(N) % 7,
            "terminal_id": np.arange(N) % 11,
            "amount": amount,
            "is_fraud": np.arange(N) % 5 == 0,
        }
    )
    return rows.take(np.random.default_rng(0).permutation(N))


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., ReadTask]:
    """Makes the task of files with a part of the rows each."""

    def make(
        *rows: pa.Table, counted: Span = (None, None), wanted: Span = (None, None)
    ) -> ReadTask:
        (tmp_path / "in").mkdir()
        (tmp_path / "step").mkdir()
        for number, some in enumerate(rows):
            pq.write_table(some, tmp_path / f"in/{number}.parquet", row_group_size=30)
        files = local_source(tmp_path / "in", NAMES)
        return ReadTask(
            rows=RawRows(files=files, columns={it: it for it in NAMES}, source_names={}),
            layout=LAYOUT,
            splits=tuple(files.splits(100)),
            step=Step(tmp_path / "step"),
            placing=Buckets(
                key=(COLUMN["terminal_id"],),
                identity=COLUMN["transaction_id"],
                time=COLUMN["timestamp"],
                n_usual=N_BUCKETS,
            ),
            n_ids=N_BUCKETS,
            size=50,
            counted=counted,
            wanted=wanted,
        )

    return make


def done(task: ReadTask) -> list[Path]:
    for part in range(len(task.splits)):
        task.work(part)
    return [task.step.data(part) for part in task.step.done()]


def test_all_rows_are_left_in_order_by_terminal(task: Callable[..., ReadTask]) -> None:
    rows = payments()
    reading = task(rows.slice(0, 130), rows.slice(130))
    files = done(reading)
    assert len(files) == 3
    found = []
    for bucket in range(N_BUCKETS):
        piece = read_piece(files, bucket, reading.placing)
        assert piece is not None
        found.append(LAYOUT.in_order(piece))
    terminals = [set(it[COLUMN["terminal_id"]].to_pylist()) for it in found]
    assert sorted(it for of in terminals for it in of) == list(range(11))
    whole = LAYOUT.in_order(pa.concat_tables(found))
    assert whole.drop_columns(["is_fraud", "labelled_at"]).equals(
        LAYOUT.checked(rows).drop_columns(["is_fraud", "labelled_at"]).combine_chunks()
    )
    assert whole["is_fraud"].to_pylist() == [it % 5 == 0 for it in range(N)]
    records = reading.step.done().values()
    days = [day for record in records for day in record["days"].items()]
    assert sum(rows for _, rows in days) == sum(record["rows"] for record in records) == N
    assert {day for day, _ in days} == {f"1970-01-{day:02}" for day in range(1, 11)}


def test_rows_of_other_times_are_left_out_unchecked(task: Callable[..., ReadTask]) -> None:
    reading = task(
        payments(bad=239), counted=(20 * HOUR, 200 * HOUR), wanted=(48 * HOUR, 200 * HOUR)
    )
    done(reading)
    records = reading.step.done().values()
    assert sum(record["rows"] for record in records) == 180
    assert sum(rows for record in records for rows in record["days"].values()) == 152


@pytest.mark.parametrize("counted", [(None, None), (20 * HOUR, 200 * HOUR)])
def test_a_bad_row_has_its_place(task: Callable[..., ReadTask], counted: Span) -> None:
    rows = payments(bad=100)
    reading = task(rows.slice(0, 130), rows.slice(130), counted=counted)
    at = rows["transaction_id"].to_pylist().index(100)
    file, row = (0, at) if at < 130 else (1, at - 130)
    place = f"in/{file}.parquet, row {row} (the first is 0)"
    with pytest.raises(PlacedError, match="got -1.0 in transaction_id 100, at least 1") as error:
        done(reading)
    assert str(error.value).endswith(place)


@pytest.mark.parametrize("kind", ["numbers", "texts"])
def test_repeats_are_found_where_all_ids_are(task: Callable[..., ReadTask], kind: str) -> None:
    ids = list(range(N))
    ids[7], ids[8], ids[200] = 3, 3, 150
    rows = payments(ids=[f"id-{it}" for it in ids] if kind == "texts" else ids)
    reading = task(rows.slice(0, 130), rows.slice(130))
    done(reading)
    files = [reading.step.data(part, IDS) for part in reading.step.done()]
    found = [
        repeated(read_piece(files, bucket, ById(n_pieces=N_BUCKETS))) for bucket in range(N_BUCKETS)
    ]
    numbers, counts = np.unique(np.concatenate(found), return_counts=True)
    assert sorted(counts.tolist()) == [1, 2]
    places = {}
    for number in numbers.tolist():
        there = [it for split in reading.splits for it in reading.rows.found(split, 50, number)]
        places[there[0][0]] = [place for _, place in there]
    assert set(places) == ({"'id-3'", "'id-150'"} if kind == "texts" else {"3", "150"})
    assert all(len(it) >= 2 for it in places.values())
