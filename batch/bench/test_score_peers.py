"""The benchmark compares what is the same: all score the features as we do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bench_model import store_bench_model
from pyspark.sql import DataFrame, SparkSession
from score_bench import TORCH_BATCH, TUNED_BATCH, ours, predict_batch, read_matrix, torch_alone
from simulated_history import write_features, write_history

from batch_proc.spark_session import spark_session
from fraud_ml.default_specs import DEFAULT_SPEC


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with spark_session(tmp_path_factory.mktemp("spark"), master="local[1]") as session:
        yield session


def in_order(scores: DataFrame) -> list[float]:
    return [row["score"] for row in scores.collect()]


def test_all_score_the_same(spark: SparkSession, tmp_path: Path) -> None:
    model = store_bench_model(tmp_path, DEFAULT_SPEC)
    files = write_features(write_history(tmp_path, TORCH_BATCH + 100), DEFAULT_SPEC, tmp_path)
    expected = torch_alone(read_matrix(files[0], TORCH_BATCH + 100), model)
    assert len(expected) == TORCH_BATCH + 100
    assert len(np.unique(expected)) > 1_000  # no model that says the same of all
    peers = predict_batch(spark, files, model, TUNED_BATCH)
    for scores in (ours(spark, files, model), peers):
        np.testing.assert_allclose(in_order(scores), expected, rtol=2e-5, atol=1e-7)
