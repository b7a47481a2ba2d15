"""What is said of jobs: by the row, and how many times better it is than the peer's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from job_bench import PEER, Measured, as_results, together, watched
from simulated_history import first_files, rows_in, write_history


def test_a_peer_with_fewer_rows_is_compared_by_the_row() -> None:
    found = {
        "job": Measured(rows=1_000, seconds=2.0, megabytes=500.0, exchanged=10_000),
        PEER: Measured(rows=100, seconds=1.0, megabytes=1_000.0, exchanged=3_000),
    }
    results = {it.name: (it.value, it.unit, it.ratio) for it in as_results(found)}
    assert results == {
        "job": (500.0, "rows/s", 5.0),
        "job_memory": (500.0, "MB", 2.0),
        "job_exchanged": (10.0, "bytes/row", 3.0),
    }


def test_the_median_of_the_seconds_and_the_most_memory_count() -> None:
    runs = [
        Measured(rows=1, seconds=seconds, megabytes=megabytes, exchanged=1)
        for seconds, megabytes in ((3.0, 1.0), (1.0, 7.0), (2.0, 5.0))
    ]
    assert together(runs) == Measured(rows=1, seconds=2.0, megabytes=7.0, exchanged=1)


def test_memory_is_that_of_a_process_and_its_children() -> None:
    # Each holds 60 MB until both do.
    child = "import sys; held = bytearray(60_000_000); print('held', flush=True); sys.stdin.read()"
    parent = (
        "import subprocess, sys, time; held = bytearray(60_000_000);"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=-1, stdout=-1);"
        "child.stdout.readline(); time.sleep(0.5); child.stdin.close(); child.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    assert 120 < watched(process) < 250
    assert process.returncode == 0


@pytest.mark.parametrize("n_rows", [100, 9_000])
def test_a_history_has_as_many_rows_as_it_is_to_have(
    n_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulated_history.CUSTOMERS", 60)
    files = write_history(tmp_path, n_rows, n_days=30)
    assert rows_in(files) == n_rows
    rows = pq.read_table(tmp_path)
    assert rows["transaction_id"].to_pylist() == list(range(n_rows))
    assert len(files) == (1 if n_rows == 100 else 3)
    populations = [set(pq.read_table(it)["terminal_id"].to_pylist()) for it in files]
    assert sum(map(len, populations)) == len(set().union(*populations))  # nobody is in two
    most = rows_in(files[:1])
    assert list(first_files(files, most)) == files[:1]
    assert list(first_files(files, 1)) == files[:1]
    assert list(first_files(files, n_rows)) == files
