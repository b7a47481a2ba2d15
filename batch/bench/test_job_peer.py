"""The benchmark compares what is the same: the peer's features and scores are ours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import spark_peer
import whole_jobs
from bench_model import store_bench_model
from job_bench import run_job
from pyspark.sql import SparkSession
from simulated_history import labels_of, write_history

from batch_proc.spark_session import spark_session
from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.features import compute_features

N_ROWS = 6_000


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with spark_session(tmp_path_factory.mktemp("spark"), master="local[1]") as session:
        yield session


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_bench_model(tmp_path_factory.mktemp("model"), HANDBOOK_SPEC)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a folder: more days than any window sees, times to the hour, so that many tie."""
    folder = tmp_path_factory.mktemp("history") / "payments"
    folder.mkdir()
    (file,) = write_history(folder, N_ROWS, n_days=60)
    rows = pq.read_table(file)
    assert rows["timestamp"][-1].as_py() - rows["timestamp"][0].as_py() > dt.timedelta(days=40)
    hour = pc.floor_temporal(rows["timestamp"], unit="hour")
    pq.write_table(rows.set_column(1, rows.schema.field(1), hour), file)
    return file


@pytest.fixture(scope="module")
def last_of_instant(history: Path) -> npt.NDArray[np.int64]:
    """For each row, the last row of the same customer at the same time."""
    rows = pq.read_table(history).select(["customer_id", "timestamp"]).to_pylist()
    last = {tuple(row.values()): at for at, row in enumerate(rows)}
    return np.array([last[tuple(row.values())] for row in rows])


def test_the_features_are_those_of_the_last_payment_of_an_instant(
    spark: SparkSession, history: Path, last_of_instant: npt.NDArray[np.int64]
) -> None:
    rows = pq.read_table(history)
    expected = compute_features(rows, labels_of(rows, HANDBOOK_SPEC), HANDBOOK_SPEC)
    payments = spark.read.parquet(str(history))
    found = spark_peer.handbook_features(payments).orderBy("transaction_id").toPandas()
    n_ties = (last_of_instant != np.arange(N_ROWS)).sum()
    assert 10 < n_ties < N_ROWS / 4
    for name in HANDBOOK_SPEC.names:
        there = expected[name].to_numpy()
        assert len(np.unique(there)) > 1, name
        if name.startswith("customer"):
            there = there[last_of_instant]
        np.testing.assert_allclose(found[name].to_numpy(), there, atol=1e-6, err_msg=name)


def test_both_jobs_write_the_same_scores(
    spark: SparkSession,
    history: Path,
    last_of_instant: npt.NDArray[np.int64],
    model: Path,
    tmp_path: Path,
) -> None:
    found = {}
    for name, job in whole_jobs.JOBS.items():
        output = tmp_path / name.replace(" ", "_")
        job(spark.newSession(), [history], model, output)
        columns = ["transaction_id", "timestamp", "customer_id", "amount", "score", "decision"]
        found[name] = pq.read_table(output, columns=columns).sort_by("transaction_id")
    ours, peers = found.values()
    assert ours.num_rows == N_ROWS
    alone = last_of_instant == np.arange(N_ROWS)
    for name in ("transaction_id", "timestamp", "customer_id", "amount"):
        # Spark writes times in a format of its own, without a zone.
        assert ours[name].equals(peers[name].cast(ours[name].type))
    score, theirs = (it["score"].to_numpy()[alone] for it in (ours, peers))
    np.testing.assert_allclose(score, theirs, rtol=2e-5, atol=1e-7)
    decision, theirs = (np.array(it["decision"].to_pylist())[alone] for it in (ours, peers))
    assert (decision == theirs).mean() > 0.999  # a score at a threshold may fall to either side
    assert set(decision) == {"approve", "review", "decline"}


def test_a_job_in_its_process_is_measured(history: Path, model: Path) -> None:
    measured = run_job(whole_jobs.PEER, [history], model)
    assert measured.rows == N_ROWS
    assert 0 < measured.seconds < dt.timedelta(minutes=5).total_seconds()
    assert measured.megabytes > 300  # a JVM and a Python with torch
    assert measured.exchanged > 8 * N_ROWS
    assert list(history.parent.iterdir()) == [history]


def test_a_job_that_fails_says_why(history: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no-model"):
        run_job(whole_jobs.OURS, [history], tmp_path / "no-model")
