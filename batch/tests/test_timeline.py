"""Rows come by time, whatever order they were put down in, and go on where they stood."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from batch_proc.rows_by_day import DayFiles
from batch_proc.timeline import NEVER, Cursor, Stream, uncut

DAY = 86_400_000_000
TIME = pa.timestamp("us", tz="UTC")


def rows(*times: int, first_id: int = 0) -> pa.Table:
    ids = list(range(first_id, first_id + len(times)))
    return pa.table({"transaction_id": ids, "timestamp": pa.array(times, TIME)})


def labels(*pairs: tuple[int, int]) -> pa.Table:
    ids, times = zip(*pairs, strict=True)
    return pa.table({"transaction_id": ids, "labelled_at": pa.array(times, TIME)})


@pytest.fixture
def files(tmp_path: Path) -> DayFiles:
    return DayFiles(tmp_path, "rows", time="timestamp")


def test_rows_of_days_in_any_order_come_by_time(tmp_path: Path, files: DayFiles) -> None:
    random = Random(0)
    times = [random.randint(-3 * DAY, 5 * DAY) for _ in range(500)]
    for start in range(0, 500, 20):
        files.add(rows(*sorted(times[start : start + 20])))
    again = DayFiles(tmp_path, "rows", time="timestamp")
    assert again.days() == list(range(-3, 5))
    found = pa.concat_tables(again.read(day) for day in again.days())
    assert found["timestamp"].cast(pa.int64()).to_pylist() == sorted(times)


def test_rows_of_one_time_come_by_id(files: DayFiles) -> None:
    files.add(rows(5, first_id=9))
    files.add(rows(5, 5, first_id=2))
    files.add(rows())
    assert files.read(0)["transaction_id"].to_pylist() == [2, 3, 9]


def test_nothing_was_put_down(files: DayFiles) -> None:
    stream = Stream(files, "timestamp", Cursor())
    assert (stream.next_time(), stream.peek(NEVER), list(stream.take(NEVER))) == (NEVER, None, [])


@pytest.mark.parametrize("at_most", [1, 3, 100])
def test_a_stream_goes_on_from_its_cursor(files: DayFiles, at_most: int) -> None:
    times = [0, 1, 1, 5, DAY, DAY + 1, 7 * DAY]
    files.add(rows(*times))
    cursor, seen = Cursor(), []
    while (some := Stream(files, "timestamp", cursor).peek(NEVER, at_most=at_most)) is not None:
        seen += some["timestamp"].cast(pa.int64()).to_pylist()
        Stream(files, "timestamp", cursor).advance(some.num_rows)
    assert seen == times


def test_rows_from_before_a_time_are_taken_and_no_others(files: DayFiles) -> None:
    files.add(rows(0, 1, DAY, DAY + 1))
    stream = Stream(files, "timestamp", Cursor())
    taken = pa.concat_tables(stream.take(DAY + 1))
    assert taken["timestamp"].cast(pa.int64()).to_pylist() == [0, 1, DAY]
    assert stream.next_time() == DAY + 1


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([(99, 25)], 5),  # no one among them
        ([(0, 25)], 2),  # what comes at 30 must know of it, what comes at 20 not
        ([(0, 30)], 2),  # known at the time of the third
        ([(1, 20)], 2),  # known at its own time
        ([(3, 20)], 4),  # before its own time: of no use
        ([(4, 40)], 5),
        ([(2, 39), (1, 39)], 4),
        ([(0, 39), (2, 30)], 3),
    ],
)
def test_a_run_ends_before_one_of_its_own_labels_is_known(known, expected) -> None:
    times = np.array([10, 20, 30, 38, 40])
    assert uncut(times, [0, 1, 2, 3, 4], labels(*known)) == expected


def test_without_labels_nothing_is_cut() -> None:
    assert uncut(np.array([1, 2]), [0, 1], None) == 2
