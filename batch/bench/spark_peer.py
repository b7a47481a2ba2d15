"""The same job as a Spark user would write it: window functions, and an iterator pandas_udf.

A window of Spark's is a range of times, so of a customer's payments at the same instant each sees
all others. Our features see those that came before it. Otherwise they are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as sf
from pyspark.sql.pandas.functions import pandas_udf

from fraud_ml.artifact import load_artifact
from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.policy import CapacityPolicy

DAY = 86_400_000_000  # microseconds
DAYS = (1, 7, 30)
DELAY_DAYS = 7

# What is Spark's own default, and what our session sets otherwise.
SETTINGS = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.shuffle.partitions": "200",  # adaptive execution joins the small ones
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
}


def handbook_features(payments: DataFrame) -> DataFrame:
    """`payments` with the columns of `HANDBOOK_SPEC`.

    Args:
        payments: `timestamp`, `customer_id`, `terminal_id`, `amount`, `is_fraud`.
    """
    time = sf.unix_micros("timestamp")
    columns: dict[str, Column] = {
        "is_weekend": (sf.weekday("timestamp") >= 5).cast("double"),
        "is_night": (sf.hour("timestamp") < 7).cast("double"),
    }
    customer = Window.partitionBy("customer_id").orderBy(time)
    terminal = Window.partitionBy("terminal_id").orderBy(time)
    for days in DAYS:
        # A range is closed at both ends in Spark, and open at its start in the handbook.
        last = customer.rangeBetween(1 - days * DAY, 0)
        known = terminal.rangeBetween(1 - (DELAY_DAYS + days) * DAY, -DELAY_DAYS * DAY)
        frauds = sf.avg(sf.col("is_fraud").cast("double")).over(known)
        columns |= {
            f"customer_count_{days}d": sf.count("*").over(last).cast("double"),
            f"customer_mean_amount_{days}d": sf.avg("amount").over(last),
            f"terminal_count_{days}d": sf.count("*").over(known).cast("double"),
            f"terminal_fraud_rate_{days}d": sf.coalesce(frauds, sf.lit(0.0)),
        }
    return payments.withColumns(columns)


def scored(features: DataFrame, model: Path) -> DataFrame:
    """`features` with `score` and `decision`."""

    @pandas_udf("float")  # type: ignore[untyped-decorator]
    def score(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        torch.set_num_threads(1)  # there are as many tasks as cores
        net = load_artifact(model).net
        for columns in batches:
            matrix = pd.concat(columns, axis=1).to_numpy(dtype="float32")
            with torch.inference_mode():
                yield pd.Series(net.score(torch.from_numpy(matrix)).numpy())

    policy = load_artifact(model).policy
    if not isinstance(policy, CapacityPolicy):
        raise TypeError(f"the benchmark's model decides by two thresholds, got {policy}")
    decision = (
        sf.when(sf.col("score") > policy.decline_above, "decline")
        .when(sf.col("score") > policy.review_above, "review")
        .otherwise("approve")
    )
    return features.withColumn("score", score(*HANDBOOK_SPEC.names)).withColumn(
        "decision", decision
    )


def score_history(session: SparkSession, files: Sequence[Path], model: Path, output: Path) -> None:
    """Scores the history in `files` into a folder of days, each sorted, as ours is."""
    for name, value in SETTINGS.items():
        session.conf.set(name, value)
    payments = session.read.parquet(*map(str, files))
    rows = scored(handbook_features(payments), model)
    columns = ("transaction_id", "timestamp", "customer_id", "amount", "score", "decision")
    days = rows.select(*columns, sf.to_date("timestamp").alias("day")).repartition("day")
    ordered = days.sortWithinPartitions("day", "timestamp", "transaction_id")
    ordered.write.partitionBy("day").parquet(str(output))
