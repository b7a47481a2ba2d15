"""Spark Connect: the same run, through a server that only takes data frames."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest
from connect_server import SETTINGS, connect_server
from small_model import FEW, assert_same_scores, read_days, scores_at_once, train_moment
from small_training import environment

from batch_proc.errors import SparkError
from batch_proc.infer import infer
from batch_proc.infer_options import InferOptions
from batch_proc.progress import Stages
from batch_proc.spark_session import spark_session
from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.errors import DataError
from fraud_ml.simulator import Simulation, simulate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with two cores, as `start-connect-server.sh` starts it."""
    home = Path(pyspark.__file__).parent
    command = [
        *(str(home / "bin/spark-submit"), "--master", "local[2]", *SETTINGS),
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        "spark-internal",
    ]
    packages = os.pathsep.join(str(Path(it).absolute()) for it in sys.path if it)
    surroundings = environment(
        SPARK_HOME=str(home),
        SPARK_LOCAL_IP="127.0.0.1",
        PYSPARK_PYTHON=sys.executable,
        PYTHONPATH=packages,
    )
    with connect_server(command, surroundings, tmp_path_factory.mktemp("connect")) as url:
        yield url


@pytest.fixture(scope="module")
def history() -> Simulation:
    return simulate(FEW)


@pytest.fixture
def options(tmp_path: Path, history: Simulation, server: str) -> InferOptions:
    rows = history.transactions.append_column("is_fraud", history.labels["is_fraud"])
    pq.write_table(rows, tmp_path / "rows.parquet")
    model = train_moment(tmp_path / "model", history.transactions, history.labels, HANDBOOK_SPEC)
    return InferOptions(
        input=str(tmp_path / "rows.parquet"),
        output=str(tmp_path / "out"),
        model=str(model),
        master=server,
        bucket_rows=4_000,
    )


def test_scores_are_those_of_all_at_once(
    options: InferOptions, history: Simulation, home: Path, tmp_path: Path
) -> None:
    infer(options, home, Stages())
    expected = scores_at_once(tmp_path / "model", history.transactions, history.labels)
    assert_same_scores(read_days(tmp_path / "out"), expected)
    # What is wrong with the data, a task finds and says there as well.
    rows = pq.read_table(options.input)
    pq.write_table(pa.concat_tables([rows, rows.slice(0, 1)]), options.input)
    with pytest.raises(DataError, match="and again in"):
        infer(options, home, Stages())


def test_a_server_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        pytest.raises(SparkError, match=f"no Spark Connect at 127.0.0.1:{port}"),
        spark_session(tmp_path, master=f"sc://127.0.0.1:{port}"),
    ):
        pytest.fail("it connected")
