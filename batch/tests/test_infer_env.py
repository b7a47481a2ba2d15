"""A machine with Spark and nothing of ours runs our code from the one archive."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pyspark
import pytest
from connect_server import SETTINGS, connect_server
from small_model import FEW, assert_same_scores, read_days, scores_at_once, train_moment

from batch_proc.infer import infer
from batch_proc.infer_options import InferOptions
from batch_proc.progress import Stages
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.simulator import simulate

ARCHIVE = Path("batch/environment.tar.gz").absolute()
JOB = (Path(__file__).parent / "environment_job.py").absolute()
CLUSTER = "local-cluster[1,1,1024]"  # a worker in a process and a folder of its own


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive, unpacked for the driver, and a stock Spark."""
    folder = tmp_path_factory.mktemp("machine")
    # Links, because this Spark must have a folder in which a local cluster works.
    (folder / "spark").mkdir()
    for part in ("bin", "jars", "python", "sbin"):
        (folder / "spark" / part).symlink_to(Path(pyspark.__file__).parent.absolute() / part)
    (folder / "home").mkdir()
    (folder / "environment.tar.gz").symlink_to(ARCHIVE)
    (folder / "environment").mkdir()
    command = ["tar", "-xzf", "environment.tar.gz", "-C", "environment"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


def submit(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`spark-submit` as the README of batch has it, with no variable of ours around it."""
    command = [
        *("spark/bin/spark-submit", "--archives", "environment.tar.gz#environment"),
        *("--conf", "spark.pyspark.python=./environment/bin/python"),
        *("--conf", "spark.ui.enabled=false", "--conf", f"spark.local.dir={machine}"),
        *arguments,
    ]
    return subprocess.run(
        command,
        cwd=machine,
        env=variables(machine),
        capture_output=True,
        text=True,
        check=False,
    )


def variables(machine: Path) -> dict[str, str]:
    """The environment there."""
    return {
        "HOME": str(machine / "home"),
        "JAVA_HOME": os.environ["JAVA_HOME"],
        "PATH": "/bin:/usr/bin",
        "SPARK_HOME": str(machine / "spark"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": str(machine),
    }


def assert_runs_on(environment: Path, process: dict[str, Any]) -> None:
    """The process has its interpreter and its modules from the archive, and pyspark from Spark."""
    assert Path(process["executable"]).parent.resolve() == environment / "bin"
    assert {Path(prefix).resolve() for prefix in process["prefixes"]} == {environment}
    inside = [path for path in process["files"] if Path(path).resolve().is_relative_to(environment)]
    outside = set(process["files"]) - set(inside) - {str(JOB), str(JOB.resolve())}
    assert {"batch_proc", "fraud_ml", "torch", "numpy", "pyarrow"} <= {
        part for path in inside for part in Path(path).parts
    }
    assert outside
    assert [path for path in outside if "pyspark.zip/" not in path and "py4j-" not in path] == []
    assert process["shape"] == [1, 1]


def test_driver_and_workers_run_on_the_archive_alone(machine: Path) -> None:
    result = machine / "result.json"
    done = submit(machine, "--master", CLUSTER, str(JOB), str(result))
    assert done.returncode == 0, done.stderr
    told = json.loads(result.read_text())
    assert_runs_on(machine / "environment", told["driver"])
    assert told["workers"]
    for worker in told["workers"]:
        # Where Spark has unpacked the archive for this worker.
        folder = Path(worker["cwd"])
        assert folder.is_relative_to(machine / "spark/work")
        assert_runs_on(folder / "environment", worker)


def test_a_history_is_scored_on_one_machine(machine: Path, tmp_path: Path) -> None:
    history = simulate(FEW)
    model = train_moment(tmp_path / "model", history.transactions, history.labels, DEFAULT_SPEC)
    rows = history.transactions.append_column("is_fraud", history.labels["is_fraud"])
    pq.write_table(rows, tmp_path / "payments.parquet")
    options = [
        *("--input", str(tmp_path / "payments.parquet"), "--output", str(tmp_path / "scores")),
        *("--model", str(model)),
    ]
    done = submit(machine, "--master", "local[2]", "environment/bin/infer.py", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = scores_at_once(model, history.transactions, history.labels)
    assert_same_scores(read_days(tmp_path / "scores"), expected)


def test_a_spark_connect_server_works_with_what_is_unpacked(machine: Path, tmp_path: Path) -> None:
    history = simulate(FEW)
    model = train_moment(tmp_path / "model", history.transactions, history.labels, DEFAULT_SPEC)
    rows = history.transactions.append_column("is_fraud", history.labels["is_fraud"])
    pq.write_table(rows, tmp_path / "payments.parquet")
    command = ["spark/sbin/start-connect-server.sh", "--wait", "--master", CLUSTER, *SETTINGS]
    python = {"PYSPARK_PYTHON": str(machine / "environment/bin/python")}
    with connect_server(command, variables(machine) | python, machine) as url:
        options = InferOptions(
            input=str(tmp_path / "payments.parquet"),
            output=str(tmp_path / "scores"),
            model=str(model),
            master=url,
        )
        infer(options, tmp_path / "home", Stages())
    expected = scores_at_once(model, history.transactions, history.labels)
    assert_same_scores(read_days(tmp_path / "scores"), expected)


def test_wrong_usage_is_told_to_who_submitted(machine: Path) -> None:
    done = submit(machine, "--master", "local[1]", "environment/bin/infer.py", "--nonsense")
    assert done.returncode == 2
    assert "usage: " in done.stdout  # Spark tells both streams of its Python there


def test_nobody_else_may_write_to_what_is_unpacked() -> None:
    with tarfile.open(ARCHIVE) as tar:
        members = [member for member in tar if not member.issym()]
    assert len(members) > 5000
    assert not [m.name for m in members if m.mode & (stat.S_IWGRP | stat.S_IWOTH)]
    assert {(m.mtime, m.uid, m.gid) for m in members} == {(0, 0, 0)}


def test_nothing_in_bin_names_a_folder(machine: Path) -> None:
    names = {path.name for path in (machine / "environment/bin").iterdir()}
    assert names == {"python", "python3", "python3.11", "infer.py"}
    text = (machine / "environment/bin" / "infer.py").read_text()
    assert "/" not in text
    assert not text.startswith("#!")


def test_it_says_what_the_machine_must_have(machine: Path) -> None:
    described = json.loads((machine / "environment/environment.json").read_text())
    assert set(described["needs"]) == {"GLIBC", "GLIBCXX"}
    here = os.confstr("CS_GNU_LIBC_VERSION")
    assert here is not None
    newest = [int(number) for number in described["needs"]["GLIBC"].split(".")]
    assert newest <= [int(number) for number in here.split()[1].split(".")]
    assert {"numpy", "pyarrow", "torch"} <= set(described["packages"])
