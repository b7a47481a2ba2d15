"""A training that is stopped from outside, for real: nothing half-written stays."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from small_training import TRAIN_START, environment, run_train, train_command

from tools.servers.small_disk import run_on_small_disk


def left_in(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def stopped_at(line: str, home: Path, number: int, *arguments: str) -> tuple[int, str]:
    """Sends a signal when the training has said `line`; its exit code and its last line."""
    with subprocess.Popen(
        train_command(*arguments),
        env=environment(FRAUD_HOME=str(home)),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        for said in process.stderr:
            if said.startswith(line):
                process.send_signal(number)
                break
        rest = process.stderr.read().splitlines()
    return process.returncode, (rest or [said])[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_it_trains_stores_nothing(
    tmp_path: Path, write: Callable[[pa.Table], str], rows: pa.Table, number: int
) -> None:
    home = tmp_path / "home"
    status, said = stopped_at(
        "compute features", home, number,
        "--source", write(rows), "--train-start", TRAIN_START, "--max-epochs", "1000",
    )  # fmt: skip
    assert (status, said[:11]) == (1, "interrupted")
    assert left_in(home) == []


def test_a_killed_training_goes_on_from_its_checkpoint(
    tmp_path: Path, write: Callable[[pa.Table], str], rows: pa.Table
) -> None:
    source, state = write(rows), tmp_path / "training.pt"
    numbers = []
    for home, arguments in (("killed", ["--checkpoint", str(state)]), ("whole", [])):
        several = ["--max-epochs", "4"]  # time enough to end it after the first
        command = ["--source", source, "--train-start", TRAIN_START, *several, *arguments]
        environ = {"FRAUD_HOME": str(tmp_path / home)}
        if home == "killed":
            with subprocess.Popen(
                train_command(*command), env=environment(**environ), stderr=subprocess.PIPE
            ) as process:
                while not state.exists() and process.poll() is None:
                    os.sched_yield()
                process.kill()
            assert process.returncode == -signal.SIGKILL
            assert state.exists()
        path = tmp_path / f"{home}.json"
        done = run_train(*command, "--json", str(path), **environ)
        assert done.returncode == 0, done.stderr
        found = {row["name"]: row["value"] for row in json.loads(path.read_text())}
        numbers.append([found[name] for name in ("ap", "auc", "cp100", "review_above")])
    assert numbers[0] == numbers[1]
    assert not state.exists()


def test_a_full_disk_is_named_and_keeps_nothing(
    tmp_path: Path, write: Callable[[pa.Table], str], rows: pa.Table
) -> None:
    disk = tmp_path / "disk"
    script = '(cd "$1" && shift && "$@"); status=$?; find . -type f ! -name .lock; exit $status'
    training = train_command("--source", write(rows), "--train-start", TRAIN_START)
    command = ["sh", "-c", script, "sh", str(Path.cwd()), *training]
    done = run_on_small_disk(disk, "64k", command, environment(FRAUD_HOME=str(disk / "home")))
    assert done.returncode == 1, done.stderr
    assert f"disk full: no room to write {disk}" in done.stderr
    assert done.stdout == ""  # no file of a model is left


def test_numbers_that_cannot_be_written_are_an_error(
    tmp_path: Path, write: Callable[[pa.Table], str], rows: pa.Table
) -> None:
    done = run_train(
        "--source", write(rows), "--train-start", TRAIN_START, "--json", "/dev/full",
        FRAUD_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "card precision" in done.stdout  # what was reached is shown all the same
    assert str(tmp_path / "home/models/fraud/1") in done.stdout
    assert "No space left on device" in done.stderr
