"""Days of scores, from a task's batches to the folder that a user reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import bytes_below

from batch_proc import day_files
from batch_proc.bucket_rows import Labels, Layout
from batch_proc.day_files import (
    DayTask,
    ScoredRows,
    check_output,
    day_pieces,
    group_days,
    publish,
)
from batch_proc.pieces import write_pieces
from batch_proc.run_ledger import Step
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.errors import DataError

LAYOUT = Layout(spec=DEFAULT_SPEC, labels=Labels.NONE, label_delay=dt.timedelta(0))
DAY = dt.date(2018, 4, 1)
DAY_0 = dt.date(1970, 1, 1)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 100))
def test_groups_are_consecutive_days_of_no_more_rows_than_wanted(
    rows: list[int], target: int
) -> None:
    by_day = {DAY + dt.timedelta(days=at): there for at, there in enumerate(rows)}
    groups = group_days(by_day, target=target)
    assert [day for group in groups for day in group] == sorted(by_day)
    for group in groups:
        assert len(group) == 1 or sum(by_day[day] for day in group) <= target


@pytest.mark.parametrize("target", [50, 200, 400, 10_000])
def test_spans_bring_each_row_to_its_day_in_order(tmp_path: Path, target: int) -> None:
    rows = scored_rows(1_000)
    by_day = {DAY_0: 334, DAY_0 + dt.timedelta(days=1): 333, DAY_0 + dt.timedelta(days=2): 333}
    groups = group_days(by_day, target=target)
    pieces = day_pieces(groups, by_day, time=LAYOUT.column["timestamp"], target=target)
    n_spans = np.bincount(pieces.groups)
    for days, spans in zip(groups, n_spans, strict=True):
        assert spans == (1 if len(days) > 1 else -(-by_day[days[0]] // target))
    files = []
    for number, some in enumerate((slice(0, 1_000, 2), slice(1, 1_000, 2))):
        files.append(tmp_path / str(number))
        write_pieces(files[-1], [rows.take(np.arange(1_000)[some])], pieces)
    scored = ScoredRows(files=tuple(files), pieces=pieces)
    found = [
        pa.Table.from_batches(list(scored.of_group(LAYOUT, group))) for group in range(len(groups))
    ]
    assert [it.num_rows for it in found] == [sum(by_day[day] for day in days) for days in groups]
    assert pa.concat_tables(found).equals(rows.combine_chunks())


def scored_rows(n: int) -> pa.Table:
    """Rows of three days as a day's task gets them."""
    time = np.linspace(0, 3 * 86_400_000_000 - 1, n).astype(np.int64)
    return pa.table(
        {
            LAYOUT.column["transaction_id"]: np.arange(n),
            LAYOUT.column["timestamp"]: pa.array(time).cast(pa.timestamp("us", tz="UTC")),
            LAYOUT.column["customer_id"]: np.arange(n) % 7,
            LAYOUT.column["amount"]: np.arange(n) * 0.5,
            "score": np.linspace(0, 1, n).astype(np.float32),
            "decision": (np.arange(n) % 4 - 1).astype(np.int8),
        }
    )


def written(folder: Path, batches: list[pa.RecordBatch]) -> dict[str, bytes]:
    (folder / "step").mkdir(parents=True)
    task = DayTask(
        layout=LAYOUT,
        scored=ScoredRows(files=(), pieces=day_pieces([], {}, time="", target=1)),
        step=Step(folder / "step"),
        folder=folder / "days",
        model_name="fraud",
        model_version=None,
        checksum="0" * 64,
    )
    task.write(0, iter(batches))
    return dict(bytes_below(folder / "days"))


def test_bytes_do_not_depend_on_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_files, "ROW_GROUP", 64)
    rows = scored_rows(1_000)
    found = [
        written(tmp_path / str(size), rows.to_batches(max_chunksize=size))
        for size in (1, 63, 64, 500, 10_000)
    ]
    assert all(it == found[0] for it in found)
    assert list(found[0]) == [f"day=1970-01-0{day}/scores.parquet" for day in (1, 2, 3)]
    file = pq.ParquetFile(tmp_path / "1/days/day=1970-01-02/scores.parquet")
    assert [file.metadata.row_group(at).num_rows for at in range(5)] == [64] * 5


def test_a_decision_is_a_word_or_missing(tmp_path: Path) -> None:
    written(tmp_path, scored_rows(100).to_batches())
    table = pq.ParquetFile(tmp_path / "days/day=1970-01-01/scores.parquet").read()
    assert table["decision"].to_pylist()[:5] == [None, "approve", "review", "decline", None]
    assert table["model_version"].null_count == table.num_rows


@pytest.fixture
def days(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of days with some content each."""

    def make(**content: str) -> Path:
        new = tmp_path / "new"
        for day, text in content.items():
            folder = new / f"day={day.removeprefix('d').replace('_', '-')}"
            folder.mkdir(parents=True)
            (folder / "scores.parquet").write_text(text)
        return new

    return make


def test_a_new_output_appears_at_once(tmp_path: Path, days: Callable[..., Path]) -> None:
    assert publish(days(d2018_04_01="a", d2018_04_02="b"), tmp_path / "x/out") == 2
    assert bytes_below(tmp_path / "x/out") == {
        "_SUCCESS": b"",
        "day=2018-04-01/scores.parquet": b"a",
        "day=2018-04-02/scores.parquet": b"b",
    }
    assert publish(tmp_path / "new", tmp_path / "x/out") == 0  # as after a kill


def test_days_are_replaced_and_others_stay(tmp_path: Path, days: Callable[..., Path]) -> None:
    output = tmp_path / "out"
    publish(days(d2018_04_01="a", d2018_04_02="b", d2018_04_03="c"), output)
    before = (output / "day=2018-04-03/scores.parquet").stat()
    new = days(d2018_04_02="B", d2018_04_03="c")
    for _ in range(2):  # the second time as after a kill, when all was moved already
        publish(new, output)
        assert bytes_below(output) == {
            "_SUCCESS": b"",
            "day=2018-04-01/scores.parquet": b"a",
            "day=2018-04-02/scores.parquet": b"B",
            "day=2018-04-03/scores.parquet": b"c",
        }
    after = (output / "day=2018-04-03/scores.parquet").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_an_output_is_a_folder_of_ours(tmp_path: Path) -> None:
    check_output(tmp_path / "none")
    check_output(tmp_path)
    (tmp_path / "day=2018-04-01").mkdir()
    (tmp_path / "day=2018-04-01/other.parquet").touch()
    with pytest.raises(DataError, match="day=2018-04-01"):
        check_output(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        check_output(tmp_path / "file")
