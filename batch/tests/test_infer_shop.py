"""Orders of a shop, with columns and keys of its own, some of them missing, scored by Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from small_model import assert_same_scores, read_days, scores_at_once, train_moment

from batch_proc.infer import infer
from batch_proc.infer_options import InferOptions
from batch_proc.progress import Stages
from batch_proc.spark_session import spark_session
from fraud_ml.feature_spec_toml import spec_from_toml
from fraud_ml.shop_simulator import ShopConfig, simulate_shop
from fraud_ml.transactions import normalise_labels, normalise_transactions

EXAMPLES = Path(__file__).parents[2] / "ml/examples"
SPEC = spec_from_toml((EXAMPLES / "shop.toml").read_text(encoding="utf-8"))
NAMES = {
    "transaction_id": "order_id",
    "timestamp": "ordered_at",
    "customer_id": "account",
    "amount": "total",
}


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with spark_session(tmp_path_factory.mktemp("spark"), master="local[2]") as session:
        yield session


@pytest.fixture(scope="module")
def orders() -> pa.Table:
    return simulate_shop(ShopConfig(n_accounts=300, n_days=45)).orders


@pytest.fixture(scope="module")
def history(orders: pa.Table) -> tuple[pa.Table, pa.Table]:
    ours = {theirs: name for name, theirs in NAMES.items()}
    rows = orders.rename_columns([ours.get(name, name) for name in orders.column_names])
    transactions = normalise_transactions(rows, SPEC)
    return transactions, normalise_labels(rows, transactions)


@pytest.fixture(scope="module")
def model(history: tuple[pa.Table, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_moment(tmp_path_factory.mktemp("models") / "shop", *history, SPEC)


@pytest.mark.parametrize("bucket_rows", [2_500, 400])
def test_scores_are_those_of_all_at_once(
    spark: SparkSession,
    orders: pa.Table,
    history: tuple[pa.Table, pa.Table],
    model: Path,
    home: Path,
    tmp_path: Path,
    bucket_rows: int,
) -> None:
    """With the smaller buckets every country and category is a hot key."""
    assert orders["device_id"].null_count > 0
    pq.write_table(orders, tmp_path / "orders.parquet")
    options = InferOptions(
        input=str(tmp_path / "orders.parquet"),
        output=str(tmp_path / "out"),
        columns=EXAMPLES / "shop_columns.toml",
        model=str(model),
    )
    infer(replace(options, bucket_rows=bucket_rows), home, Stages())
    assert_same_scores(read_days(tmp_path / "out"), scores_at_once(model, *history))
