"""Hot keys are found in parts of the rows, exactly, and cut where their rows are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_proc.key_hash import hashes
from batch_proc.key_stages import plan_stages
from batch_proc.raw_rows import RawRows
from batch_proc.source_files import Split, local_source
from batch_proc.survey import cut_hot_keys, find_hot_keys, from_json, to_json
from fraud_ml.default_specs import HANDBOOK_SPEC

N = 30_000
NAMES = ("transaction_id", "timestamp", "customer_id", "terminal_id", "amount")


def gather(ask: Callable[[Split], Any], items: Sequence[Split]) -> list[Any]:
    return [ask(item) for item in items]


@pytest.fixture(params=["times", "texts"])
def rows(tmp_path: Path, request: pytest.FixtureRequest) -> RawRows:
    """Half a year at one terminal in thousands of others, not at all times."""
    rng = np.random.default_rng(0)
    day = 86_400_000_000
    times = np.sort(rng.integers(0, 180 * day, N))
    terminal = rng.integers(0, 1_000, N)
    terminal[rng.random(N) < 0.3] = 7
    terminal[times < 20 * day] = 3
    time = pa.array(times).cast(pa.timestamp("us", tz="UTC"))
    table = pa.table(
        {
            "transaction_id": np.arange(N),
            "timestamp": time if request.param == "times" else pa.compute.strftime(time),
            "customer_id": pa.array([None if it % 5 == 0 else f"c{it}" for it in range(N)]),
            "terminal_id": terminal.astype(np.int32),
            "amount": np.ones(N),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=700)
    files = local_source(tmp_path / "rows.parquet", NAMES)
    return RawRows(files=files, columns={name: name for name in NAMES}, source_names={})


@pytest.mark.parametrize("split_rows", [700, 10_000, N])
def test_hot_keys_are_those_with_more_rows_than_the_threshold(
    rows: RawRows, split_rows: int
) -> None:
    splits = rows.files.splits(split_rows)
    terminal = pq.read_table(rows.files.files[0])["terminal_id"]
    most = {
        int(hashes(pa.chunked_array([[it["values"]]]))[0]): it["counts"]
        for it in terminal.value_counts().to_pylist()
    }
    for threshold in (1_000, 4_000, 8_000):
        hot = find_hot_keys(rows, HANDBOOK_SPEC, splits, gather, threshold=threshold)
        found = {value: numbers[0] for value, numbers in hot.get(("terminal_id",), {}).items()}
        assert found == {value: n for value, n in most.items() if n > threshold}
        assert set(hot) <= {("terminal_id",)}
    assert not find_hot_keys(rows, HANDBOOK_SPEC, splits, gather, threshold=N)


def test_slices_have_about_as_many_rows_as_they_should(rows: RawRows) -> None:
    splits = rows.files.splits(2_000)
    hot = find_hot_keys(rows, HANDBOOK_SPEC, splits, gather, threshold=2_000)
    stages = plan_stages(HANDBOOK_SPEC, set(hot))
    terminal, customer = cut_hot_keys(
        rows, HANDBOOK_SPEC, splits, gather, stages, hot, target=1_000, n_buckets=30
    )
    assert customer == []
    assert [it.bucket for it in terminal] == list(range(30, 30 + len(terminal)))
    assert from_json(to_json(terminal)) == tuple(terminal)
    table = pq.read_table(rows.files.files[0])
    time = table["timestamp"]
    if pa.types.is_string(time.type):
        time = time.cast(pa.timestamp("us"))
    times = time.cast(pa.int64()).to_numpy()
    number = hashes(table["terminal_id"])
    for value, (n_rows, first, last) in hot["terminal_id",].items():
        of_key = times[number == np.uint64(value)]
        assert (n_rows, first, last) == (len(of_key), of_key[0], of_key[-1])
        slices = [it.slice for it in terminal if it.key == value]
        assert all(it.first == first for it in terminal if it.key == value)
        edges = [times[0], *(it.start for it in slices if it.start is not None), times[-1] + 1]
        own = np.histogram(of_key, edges)[0]
        if len(slices) > 1:  # else its windows see all of it
            reached = len(of_key) * dt.timedelta(days=37) / dt.timedelta(microseconds=1)
            assert own[:-1].max() <= max(1_000, reached / (last - first)) * 1.1
    assert len(terminal) > 1
