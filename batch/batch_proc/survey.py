"""What must be known of all rows before they go into buckets: how many, hot keys, repeated ids."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from batch_proc.hot_keys import find_hot_keys
from batch_proc.infer_input import Input, has_times
from batch_proc.key_stages import Key, KeyStage, keys_of, plan_stages
from batch_proc.spark_jobs import spark_errors
from fraud_ml.errors import DataError

_SMALL_BUCKET = 50_000  # rows: with fewer, what a task costs by itself is no longer small
_FEW_BUCKETS = 16  # that many cores have work also where all rows would fit into fewer buckets


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found; JSON can hold it."""

    n_rows: int
    hot: list[list[str]]
    """Keys that have a value with too many rows for a bucket."""
    spread_first: bool
    """Whether times are text, by which Spark cannot cut."""

    def stages(self, source: Input) -> tuple[KeyStage, ...]:
        """The stages to go through."""
        hot: set[Key] = {tuple(key) for key in self.hot}
        return plan_stages(source.layout.spec, hot, spread_first=self.spread_first)

    def n_buckets(self, bucket_rows: int) -> int:
        """How many buckets of at most about ``bucket_rows``; the same for the same rows."""
        at_least = -(-self.n_rows // bucket_rows)
        return max(at_least, min(_FEW_BUCKETS, -(-self.n_rows // _SMALL_BUCKET)))


def survey(source: Input, session: SparkSession, *, bucket_rows: int) -> Survey:
    """Counts the rows, and looks for hot keys.

    Raises:
        DataError: there is no row, or an id occurs twice.
    """
    rows = source.rows(session, with_labels=False)
    column = source.layout.column
    with spark_errors():
        n_rows = _check_ids(source, rows, session)
        hot = find_hot_keys(
            rows,
            keys_of(source.layout.spec),
            n_rows=n_rows,
            threshold=2 * bucket_rows,
            column=column,
        )
    return Survey(
        n_rows, sorted(list(key) for key in hot), not has_times(rows, column["timestamp"])
    )


def _check_ids(source: Input, rows: DataFrame, session: SparkSession) -> int:
    """How many rows there are; the same id in two of them is no transaction."""
    identity = sf.col(source.layout.column["transaction_id"])
    by_id = rows.groupBy(identity.alias("id")).count()
    more = sf.when(sf.col("id").isNotNull() & (sf.col("count") > 1), sf.col("count") - 1)
    found = by_id.agg(sf.sum("count").alias("rows"), sf.sum(more).alias("repeats")).head()
    if found is None or not found["rows"]:
        raise DataError("there are no transactions: the input has columns but no rows")
    if found["repeats"]:
        again = by_id.where(sf.col("id").isNotNull() & (sf.col("count") > 1))
        first = again.orderBy("id").head()
        value = first["id"] if first else ""
        theirs = source.transactions.columns["transaction_id"]
        places = " and again in ".join(places_of(source, session, str(value))) or "twice"
        raise DataError(
            f"column {theirs!r}: {value!r} occurs in {places}, {found['repeats']} such repeats;"
            " drop the repeats or make the ids unique"
        )
    return int(found["rows"])


def places_of(source: Input, session: SparkSession, transaction_id: str) -> list[str]:
    """The files, and the rows in them, of a transaction; none where nobody knows the files."""
    files = source.transactions.files
    if files is None:
        return []
    return files.place_of(session, source.transactions.columns["transaction_id"], transaction_id)
