"""Training rows whose features Spark computes are those that memory gives."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from small_training import TRAIN_START

import data_connector
from batch_proc import spark_data, train
from batch_proc.data_options import DataOptions
from batch_proc.errors import SHOWN
from batch_proc.fold import Fold
from batch_proc.progress import Stages
from batch_proc.spark_data import compute_by_spark
from batch_proc.spark_session import spark_session
from batch_proc.training_data import read_into_memory
from data_connector.command import run
from fraud_ml.default_specs import DEFAULT_SPEC, HANDBOOK_SPEC
from fraud_ml.errors import DataError
from fraud_ml.feature_spec_toml import spec_to_toml
from fraud_ml.simulator import Simulation


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with spark_session(tmp_path_factory.mktemp("spark"), master="local[2]") as session:
        yield session


@pytest.fixture
def options(source: str) -> DataOptions:
    return DataOptions(
        source=source,
        table=None,
        column_names={},
        spec=DEFAULT_SPEC,
        train_start=None,
        train_days=7,
        delay_days=7,
        test_days=5,
    )


def assert_same(fold: Fold, expected: Fold) -> None:
    for ours, theirs in ((fold.train, expected.train), (fold.test, expected.test)):
        np.testing.assert_array_equal(ours.features, theirs.features)
        np.testing.assert_array_equal(ours.is_fraud, theirs.is_fraud)
        np.testing.assert_array_equal(ours.day, theirs.day)
        np.testing.assert_array_equal(ours.customer, theirs.customer)
        assert np.ptp(ours.number - theirs.number) == 0  # each counts from its first row


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("bucket_rows", [250_000, 4_000])
def test_a_fold_is_that_of_memory(
    options: DataOptions, home: Path, bucket_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_data, "BUCKET_ROWS", bucket_rows)
    ours = compute_by_spark(options, home, Stages(), master=None)
    theirs = read_into_memory(options, home, Stages())
    assert ours.days == theirs.days
    assert ours.n_rows == theirs.n_rows
    assert ours.history.transactions.num_rows < theirs.history.transactions.num_rows / 2
    fold = ours.fold()
    assert_same(fold, theirs.fold())
    for rows in (fold.train, fold.test):
        at = rows.number + theirs.n_rows - ours.history.transactions.num_rows
        there = replace(rows, number=at)
        np.testing.assert_array_equal(
            ours.features_of(rows, HANDBOOK_SPEC), theirs.features_of(there, HANDBOOK_SPEC)
        )
    assert not (home / "work" / "train").exists()


@pytest.mark.usefixtures("spark")
def test_labels_may_lie_in_a_table_of_their_own(
    options: DataOptions, simulation: Simulation, home: Path, tmp_path: Path
) -> None:
    """Half of them said later than the delay: what was not known then must not be seen."""
    labels = simulation.labels
    late = [
        at + dt.timedelta(days=9 * (row % 2)) if at else at
        for row, at in enumerate(labels["labelled_at"].to_pylist())
    ]
    column = labels.column_names.index("labelled_at")
    labels = labels.set_column(
        column, labels.schema.field(column), pa.array(late, labels["labelled_at"].type)
    )
    url = f"sqlite:///{tmp_path}/bank.db"
    data_connector.load(simulation.transactions, url, table="transactions")
    data_connector.load(labels, url, table="labels")
    options = replace(options, source=url, train_start=dt.date.fromisoformat(TRAIN_START))
    ours = compute_by_spark(options, home, Stages(), master=None)
    assert_same(ours.fold(), read_into_memory(options, home, Stages()).fold())


@pytest.mark.usefixtures("spark")
def test_what_cannot_be_trained_on_is_said(
    options: DataOptions, rows: pa.Table, home: Path, tmp_path: Path
) -> None:
    unlabelled, empty = tmp_path / "unlabelled.parquet", tmp_path / "empty.parquet"
    data_connector.load(rows.drop_columns(["is_fraud"]), unlabelled)
    data_connector.load(rows.slice(0, 0), empty)
    for path, why in ((unlabelled, "no labels"), (empty, "no transactions")):
        with pytest.raises(DataError, match=why):
            compute_by_spark(replace(options, source=str(path)), home, Stages(), master=None)
    far = replace(options, train_start=dt.date(2030, 1, 1))
    with pytest.raises(DataError, match="no transactions from 2030-01-01"):
        compute_by_spark(far, home, Stages(), master=None)


@pytest.mark.usefixtures("spark")
def test_a_training_compares_with_a_champion_of_other_features(
    source: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion gets the features, computed by Spark, that it had in memory."""
    spec = tmp_path / "spec.toml"
    spec.write_text(spec_to_toml(HANDBOOK_SPEC), encoding="utf-8")
    numbers = []
    for more in (["--spec", str(spec)], ["--spark", "--master", "local[2]"]):
        path = tmp_path / "numbers.json"
        argv = ["train", "--source", source, "--train-start", TRAIN_START, "--json", str(path)]
        monkeypatch.setattr("sys.argv", [*argv, "--max-epochs", "1", "--train-days", "3", *more])
        assert run(train.main, shown=SHOWN) == 0
        numbers.append({row["name"]: row["value"] for row in json.loads(path.read_text())})
    memory, spark = numbers
    same = ("rows", "train_rows", "train_frauds", "test_rows", "test_frauds")
    assert {name: spark[name] for name in same} == {name: memory[name] for name in same}
    assert spark["champion_ap"] == memory["ap"]
    assert spark["champion_spark_seconds"] > 0
