"""What goes wrong while several processes train: it is said, and nothing is left of it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed_run import DEADLINE, Run, left_in, left_over, until
from small_training import run_train


@pytest.fixture
def run(tmp_path: Path, source: str) -> Iterator[Run]:
    """A run after which nothing works for it any longer, and no temporary file is left."""
    run = Run(tmp_path, source)
    yield run
    until(lambda: not run.processes(), "processes are left")


def test_a_killed_worker_ends_the_run_with_its_reason_and_stores_nothing(run: Run) -> None:
    with run.start("--workers", "2", "--max-epochs", "1000") as process:
        until(lambda: len(run.workers()) == 2, "no workers")
        run.workers()[1].send_signal(signal.SIGKILL)
        printed, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, said
    assert printed == ""
    assert "error: a training process ended before the training did" in said
    assert "nothing was stored: run the command again" in said
    assert "Signal 9 (SIGKILL)" in said
    assert left_in(run.home) == []
    assert left_over(run.temporary) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_leaves_nothing(run: Run, number: int) -> None:
    with run.start("--workers", "2", "--max-epochs", "1000") as process:
        until(lambda: len(run.workers()) == 2, "no workers")
        process.send_signal(number)
        _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("interrupted")
    assert left_in(run.home) == []
    assert left_over(run.temporary) == []


def test_when_the_command_alone_is_killed_its_workers_end(run: Run) -> None:
    with run.start("--workers", "2", "--max-epochs", "1000") as process:
        until(lambda: len(run.workers()) == 2, "no workers")
        process.kill()
        process.communicate()
    # The fixture waits until none is left.


def test_the_checkpoint_of_one_process_is_refused_by_two(run: Run) -> None:
    state = run.folder / "training.pt"
    with run.start("--checkpoint", str(state), "--max-epochs", "1000") as process:
        until(state.exists, "no checkpoint")
        process.kill()
        process.communicate()
    done = run("--workers", "2", "--checkpoint", str(state), "--max-epochs", "1000")
    assert done.returncode == 1
    assert f"error: {state} is the checkpoint of another training" in done.stderr
    assert "remove it to start anew" in done.stderr
    assert left_in(run.home) == []


def test_without_java_the_message_says_so(run: Run) -> None:
    done = run_train(*run.arguments, "--workers", "2", JAVA_HOME="/nowhere", **run.surroundings)
    assert done.returncode == 1
    assert "error: Spark did not start" in done.stderr
    assert "set JAVA_HOME" in done.stderr
    assert left_in(run.home) == []
