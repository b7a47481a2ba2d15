"""Training on two processes that Spark starts, as a user runs it: the model that comes of it."""

import datetime as dt
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyspark
import pytest
import torch
from distributed_run import Run, left_over, until
from small_training import TRAIN_START, run_train

from batch_proc.fold import Days, make_fold
from batch_proc.history import History
from data_connector import ModelStore
from fraud_ml.artifact import load_artifact
from fraud_ml.bootstrap import bootstrap_interval
from fraud_ml.metrics import average_precision
from fraud_ml.simulator import Simulation


@pytest.fixture
def run(tmp_path: Path, source: str) -> Iterator[Run]:
    """A run after which nothing works for it any longer, and no temporary file is left."""
    run = Run(tmp_path, source)
    yield run
    until(lambda: not run.processes(), "processes are left")


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory, source: str) -> Run:
    """An undisturbed run on two processes."""
    run = Run(tmp_path_factory.mktemp("of_two"), source)
    done = run("--workers", "2")
    assert done.returncode == 0, done.stderr
    assert left_over(run.temporary) == []
    # What the processes and Spark print is not for the user's eyes.
    assert done.stdout.splitlines()[0].strip() == "fraud version 1"
    assert "train: epoch 4, validation AP 0." in done.stderr
    assert all("(" in line for line in done.stderr.splitlines()), done.stderr  # stages alone
    return run


def test_two_processes_train_as_good_a_model_as_one(
    of_two: Run, run: Run, simulation: Simulation
) -> None:
    assert run().returncode == 0
    artifact = load_artifact(ModelStore(run.home / "models").latest("fraud").path)
    days = {"train": 7, "delay": 7, "test": 7}
    history = History(simulation.transactions, simulation.labels)
    start = dt.date.fromisoformat(TRAIN_START)
    test = make_fold(history, Days(train_start=start, **days), artifact.spec).test
    score = artifact.net.score(torch.from_numpy(test.features)).numpy()
    interval = bootstrap_interval(
        lambda row, _: average_precision(test.is_fraud[row], score[row]), test.customer
    )
    assert interval.estimate == pytest.approx(run.numbers()["ap"], abs=1e-6)
    assert interval.low < of_two.numbers()["ap"] < interval.high
    assert of_two.weights() != run.weights()
    lineage = [
        load_artifact(ModelStore(it.home / "models").latest("fraud").path).lineage["workers"]
        for it in (run, of_two)
    ]
    assert lineage == ["1", "2"]


def test_executors_of_a_cluster_train_the_same_model(of_two: Run, run: Run) -> None:
    # Executors write below Spark's folder, which is not writable everywhere.
    spark = run.folder / "spark"
    spark.mkdir()
    for path in Path(pyspark.__file__).parent.iterdir():
        (spark / path.name).symlink_to(path)
    more = ["--workers", "2", "--master", "local-cluster[2,1,1024]"]
    surroundings = run.surroundings | {"SPARK_HOME": str(spark), "SPARK_LOCAL_IP": "127.0.0.1"}
    done = run_train(*run.arguments, *more, **surroundings)
    assert done.returncode == 0, done.stderr
    assert run.weights() == of_two.weights()
    assert "train: epoch 4, validation AP 0." in done.stderr


def test_after_all_were_killed_the_next_run_ends_with_the_same_model(of_two: Run, run: Run) -> None:
    state = run.folder / "training.pt"
    command = ["--workers", "2", "--checkpoint", str(state)]
    with run.start(*command) as process:
        until(state.exists, "no checkpoint")
        for one in (psutil.Process(process.pid), *run.processes()):
            one.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert state.exists()
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert run.weights() == of_two.weights()
    assert not state.exists()
