"""A run that is killed, for real, and goes on: the same bytes as one that nobody disturbed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_model import FEW, bytes_below, train_moment
from small_training import environment

from fraud_ml.feature_spec import DEFAULT_SPEC
from fraud_ml.simulator import simulate


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `payments.parquet` and `model`."""
    folder = tmp_path_factory.mktemp("history")
    history = simulate(FEW)
    rows = history.transactions.append_column("is_fraud", history.labels["is_fraud"])
    pq.write_table(rows, folder / "payments.parquet")
    train_moment(folder / "model", history.transactions, history.labels, DEFAULT_SPEC)
    return folder


def command(history: Path, output: Path, *more: str) -> list[str]:
    options = {
        "--input": str(history / "payments.parquet"),
        "--model": str(history / "model"),
        "--output": str(output),
        "--master": "local[2]",
        "--bucket-rows": "2000",
    }
    given = [part for option in options.items() for part in option]
    return [sys.executable, "-m", "batch_proc.infer", *given, *more]


def run_infer(history: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(history, output, *more),
        env=environment(FRAUD_HOME=str(output.parent / "home")),
        capture_output=True,
        text=True,
        check=False,
    )


def killed_when(history: Path, output: Path, found: str) -> None:
    """Kills a run when a file turns up in its work folder."""
    work = output.with_name(f".{output.name}.work")
    with subprocess.Popen(
        command(history, output),
        env=environment(FRAUD_HOME=str(output.parent / "home")),
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not any(work.glob(found)):
            try:
                process.wait(timeout=0.01)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()


@pytest.fixture(scope="module")
def undisturbed(history: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("whole") / "out"
    done = run_infer(history, output)
    assert done.returncode == 0, done.stderr
    assert "WARN" not in done.stderr
    assert "ERROR" not in done.stderr
    return dict(bytes_below(output))


def test_a_killed_run_goes_on_to_the_same_bytes(
    history: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    output, own = tmp_path / "out", tmp_path / "in"
    shutil.copytree(history, own)
    killed_when(own, output, "*/stage-2/part-*.json")
    refused = run_infer(own, output, "--resume", "--since", "2018-04-20")
    assert refused.returncode == 1
    assert "cannot resume: the run in " in refused.stderr
    assert "since: None, now 2018-04-20" in refused.stderr
    assert not output.exists()
    spoil(own / "payments.parquet")  # what was read is not read again
    done = run_infer(own, output, "--resume")
    assert done.returncode == 0, done.stderr
    assert bytes_below(output) == undisturbed
    assert not (tmp_path / ".out.work").exists()


def spoil(file: Path) -> None:
    """Overwrites a Parquet file's rows, so that neither its footer nor its state tells."""
    before = file.stat()
    with file.open("r+b") as content:
        content.seek(4)
        content.write(bytes(before.st_size // 2))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
