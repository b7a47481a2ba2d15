"""Keys with far more rows than others: found by a sample, counted, and cut into slices of time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from batch_proc.key_stages import Key, KeyStage, Past
from batch_proc.time_slices import Slice, cut

_SAMPLED = 2_000  # rows of a key that is just hot enough: half of it turn up as good as surely
_SPANS = 4_096  # of a hot key's time: a slice is cut to within a few of them
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class HotSlice:
    """One slice of a hot key, and the bucket it gets."""

    values: tuple[Any, ...]
    """Of the key's columns."""
    first: int
    """When the key's first row happened, in microseconds."""
    slice: Slice
    bucket: int


def find_hot_keys(
    rows: DataFrame, keys: Sequence[Key], *, n_rows: int, threshold: int, column: Mapping[str, str]
) -> set[Key]:
    """The keys that have a value, other than null, with more than about ``threshold`` rows.

    Args:
        rows: the transactions.
        keys: which to look at.
        n_rows: how many there are.
        threshold: a value with fewer than half of it never counts.
        column: of the key's column, what it is called in ``rows``.
    """
    if n_rows <= threshold:
        return set()
    share = min(1.0, _SAMPLED / threshold)
    names = sorted({column[name] for key in keys for name in key})
    sample = rows.select(*names)
    if share < 1:
        sample = sample.sample(fraction=share, seed=0)
    sample = sample.cache()
    try:
        return {
            key
            for key in keys
            if _counted(sample, [column[name] for name in key])
            .where(sf.col("count") > share * threshold / 2)
            .head(1)
        }
    finally:
        sample.unpersist()


def cut_hot_keys(
    rows: DataFrame,
    stage: KeyStage,
    past: Past,
    *,
    resolution: int,
    target: int,
    n_buckets: int,
    column: Mapping[str, str],
) -> list[HotSlice]:
    """The slices of all values of a stage's key that have more than twice ``target`` rows.

    Args:
        rows: the transactions, with their time in microseconds in the column ``time``.
        stage: whose key it is.
        past: what its features look back at.
        resolution: of the features' time, in microseconds.
        target: rows of a slice.
        n_buckets: of the other keys; slices get the numbers after those.
        column: of the key's column, what it is called in ``rows``.
    """
    names = [column[name] for name in stage.key]
    times = sf.min("time").alias("first"), sf.max("time").alias("last")
    hot = _counted(rows, names, *times).where(sf.col("count") > 2 * target)
    hot = hot.withColumn("width", sf.expr(f"(last - first) div {_SPANS} + 1"))
    found = {tuple(row[name] for name in names): row for row in hot.collect()}
    if not found:
        return []
    few = rows.sparkSession.createDataFrame(list(found.values()), hot.schema)
    span = sf.expr("(time - first) div width").alias("span")
    joined = rows.select("time", *names).join(
        sf.broadcast(few.select(*names, "first", "width")), names
    )
    counts = joined.groupBy(*names, span).count().collect()
    by_key: dict[tuple[Any, ...], dict[int, int]] = {}
    for row in counts:
        by_key.setdefault(tuple(row[name] for name in names), {})[row["span"]] = row["count"]
    slices: list[HotSlice] = []
    for values in sorted(by_key, key=repr):
        first, width, there = found[values]["first"], found[values]["width"], by_key[values]
        spans = range(max(there) + 1)
        of_key = cut(
            [first + width * number for number in spans],
            [there.get(number, 0) for number in spans],
            size=target,
            lookback=past.lookback // _MICROSECOND,
            resolution=resolution,
            past_rows=past.rows,
        )
        for it in of_key:
            bucket = n_buckets + len(slices)
            slices.append(HotSlice(values=values, first=first, slice=it, bucket=bucket))
    return slices


def bucketed(
    rows: DataFrame,
    key: Key,
    slices: Sequence[HotSlice],
    *,
    n_buckets: int,
    column: Mapping[str, str],
) -> DataFrame:
    """``rows`` with the number of their bucket in the column ``bucket``.

    A row of a hot key comes once for each slice that needs it. Rows without a key have no history
    in common, and are spread as if each had its own.

    Args:
        rows: the transactions; with slices, with their time in the column ``time``.
        key: the key, or none: then all rows are spread.
        slices: of its hot values.
        n_buckets: for all the others.
        column: of a column, what it is called in ``rows``.
    """
    names = [column[name] for name in key]
    spread = sf.xxhash64(column["transaction_id"])
    number = sf.xxhash64(*names) if names else spread
    for name in names:
        number = sf.when(sf.col(name).isNull(), spread).otherwise(number)
    usual = sf.pmod(number, sf.lit(n_buckets)).cast("int")
    if not slices:
        return rows.withColumn("bucket", usual)
    types = [
        (f"hot{at}", rows.schema[name].dataType.simpleString()) for at, name in enumerate(names)
    ]
    numbers = [(name, "bigint") for name in ("hot_first", "hot_from", "hot_stop")]
    schema = ", ".join(f"{name} {kind}" for name, kind in [*types, *numbers, ("hot_bucket", "int")])
    table = [
        (*it.values, it.first, it.slice.context_from, it.slice.stop, it.bucket) for it in slices
    ]
    hot = sf.broadcast(rows.sparkSession.createDataFrame(table, schema))
    joined = rows.join(hot, _needed_by(names), "left")
    with_bucket = joined.withColumn("bucket", sf.coalesce(sf.col("hot_bucket"), usual))
    return with_bucket.drop("time", *hot.columns)


def _needed_by(names: Sequence[str]) -> Column:
    time = sf.col("time")
    wanted = sf.col("hot_stop").isNull() | (time < sf.col("hot_stop"))
    seen = sf.col("hot_from").isNull() | (time >= sf.col("hot_from"))
    condition = wanted & (seen | (time == sf.col("hot_first")))
    for at, name in enumerate(names):
        condition &= sf.col(name) == sf.col(f"hot{at}")
    return condition


def _counted(rows: DataFrame, names: Sequence[str], *more: Column) -> DataFrame:
    there = rows
    for name in names:
        there = there.where(sf.col(name).isNotNull())
    return there.groupBy(*names).agg(sf.count(sf.lit(1)).alias("count"), *more)
