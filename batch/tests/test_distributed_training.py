"""Training on two processes that Spark starts, as a user runs it: the model, and what breaks it."""

import datetime as dt
import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyspark
import pytest
import torch
from small_training import TRAIN_START, environment, run_train, train_command

import data_connector
from batch_proc.fold import Days, make_fold
from batch_proc.history import History
from data_connector import ModelStore
from fraud_ml.artifact import load_artifact
from fraud_ml.bootstrap import bootstrap_interval
from fraud_ml.metrics import average_precision
from fraud_ml.simulator import Simulation

DEADLINE = 300.0  # seconds for processes to come or to go, on a busy machine


@dataclass(frozen=True)
class Run:
    """A place of its own for one run: its state, and its temporary files."""

    folder: Path
    source: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def arguments(self) -> list[str]:
        numbers = str(self.folder / "numbers.json")
        return ["--source", self.source, "--train-start", TRAIN_START, "--json", numbers]

    @property
    def surroundings(self) -> dict[str, str]:
        self.temporary.mkdir(parents=True, exist_ok=True)
        return {"FRAUD_HOME": str(self.home), "TMPDIR": str(self.temporary)}

    def __call__(self, *more: str) -> subprocess.CompletedProcess[str]:
        return run_train(*self.arguments, *more, **self.surroundings)

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            train_command(*self.arguments, *more),
            env=environment(**self.surroundings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def numbers(self) -> dict[str, float]:
        rows = json.loads((self.folder / "numbers.json").read_text())
        return {row["name"]: row["value"] for row in rows}

    def weights(self) -> str:
        """A hash of the weights of the one model that was stored."""
        path = ModelStore(self.home / "models").get("fraud", 1).path / "model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def processes(self) -> list[psutil.Process]:
        """All that work for this run, children of children too: they name its temporary folder."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.temporary) in word for word in process.info["cmdline"] or [])
        ]

    def workers(self) -> dict[int, psutil.Process]:
        """The processes that train, by rank."""
        found = {}
        for process in self.processes():
            try:
                variables = process.environ()
            except psutil.Error:
                continue
            if "LOCAL_RANK" in variables:
                found[int(variables["RANK"])] = process
        return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, rows: pa.Table) -> str:
    path = str(tmp_path_factory.mktemp("source") / "transactions.parquet")
    data_connector.load(rows, path)
    return path


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


def until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def left_over(temporary: Path) -> list[str]:
    """What is left of a run; torch keeps what it made of a net to export it, for the next time."""
    names = (path.name for path in temporary.iterdir())
    return [name for name in names if not name.startswith("torchinductor_")]


def left_in(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


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
