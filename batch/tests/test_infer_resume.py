"""A run that is killed, for real, and goes on: the same bytes as one that nobody disturbed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pyspark
import pytest
from small_model import FEW, bytes_below, train_moment
from small_training import environment

from fraud_ml.default_specs import DEFAULT_SPEC
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


DEADLINE = 600  # seconds, for a machine with much else to do


def command(history: Path, output: Path, *more: str, master: str = "local[2]") -> list[str]:
    options = {
        "--input": str(history / "payments.parquet"),
        "--model": str(history / "model"),
        "--output": str(output),
        "--master": master,
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


def wait_for(process: subprocess.Popen[str], output: Path, found: str) -> None:
    """Waits until a file turns up in the work folder of a run, or the run ends."""
    work = output.with_name(f".{output.name}.work")
    while process.poll() is None and not any(work.glob(found)):
        try:
            process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            continue


def killed_when(history: Path, output: Path, found: str) -> None:
    """Kills a run when a file turns up in its work folder."""
    with subprocess.Popen(
        command(history, output),
        env=environment(FRAUD_HOME=str(output.parent / "home")),
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        wait_for(process, output, found)
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


@pytest.fixture(scope="module")
def spark_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Spark in a folder that it can write to, as executors do."""
    folder = tmp_path_factory.mktemp("spark")
    for path in Path(pyspark.__file__).parent.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


@contextmanager
def daemon(spark_home: Path, name: str, *arguments: str) -> Iterator[tuple[psutil.Process, str]]:
    """A process of a standalone cluster, and its URL, until the block ends."""
    address = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
    log = spark_home / f"{name}-{len(list(spark_home.glob('*.log')))}.log"
    with log.open("w") as said:
        started = subprocess.Popen(
            [
                *("bin/spark-class", f"org.apache.spark.deploy.{name.lower()}.{name}"),
                *(*address, *arguments),
            ],
            cwd=spark_home,
            env=environment(
                SPARK_HOME=str(spark_home),
                SPARK_LOCAL_IP="127.0.0.1",
                PYTHONPATH=os.pathsep.join(str(Path(it).absolute()) for it in sys.path if it),
            ),
            stdout=said,
            stderr=said,
        )
    process = psutil.Process(started.pid)
    url = "spark://127.0.0.1:"
    try:
        while started.poll() is None and not re.search(rf"{url}\d+", log.read_text()):
            try:
                started.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
        there = re.search(rf"{url}\d+", log.read_text())
        assert there is not None, log.read_text()
        yield process, there[0]
    finally:
        for one in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        started.wait()


@contextmanager
def cluster(
    kind: str, spark_home: Path, folder: Path
) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The master's URL of a cluster with two workers, and the processes that run executors."""
    if kind == "local-cluster":
        yield "local-cluster[2,1,1024]", []
        return
    with ExitStack() as running:
        _, url = running.enter_context(daemon(spark_home, "Master"))
        workers = []
        for number in (1, 2):
            more = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"w{number}"))
            worker, _ = running.enter_context(daemon(spark_home, "Worker", *more, url))
            workers.append(worker)
        yield url, workers


def executors_below(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for child in [child for it in processes for child in it.children(recursive=True)]:
        with suppress(psutil.Error):  # it has ended
            if "CoarseGrainedExecutorBackend" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.parametrize("kind", ["local-cluster", "standalone"])
def test_an_executor_that_is_killed_loses_nothing(
    history: Path,
    tmp_path: Path,
    spark_home: Path,
    undisturbed: dict[str, bytes],
    kind: str,
) -> None:
    output = tmp_path / "out"
    with cluster(kind, spark_home, tmp_path) as (master, workers):
        surroundings = {
            "FRAUD_HOME": str(tmp_path / "home"),
            "SPARK_HOME": str(spark_home),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        with subprocess.Popen(
            command(history, output, master=master),
            env=environment(**surroundings),
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_for(process, output, "*/stage-1/part-*.json")
            running = executors_below(workers or [psutil.Process(process.pid)])
            assert len(running) == 2
            running[0].kill()
            _, said = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said
    assert bytes_below(output) == undisturbed
    assert not (tmp_path / ".out.work").exists()
