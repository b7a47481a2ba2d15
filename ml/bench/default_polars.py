"""The features of the default spec in Polars: rolling expressions, and one join as of a time.

It knows what `compute_features` must not assume: of the transactions up to `DELAY` ago, all labels
are known, and none is ever corrected.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

RESOLUTION = "10m"
DELAY = pl.duration(days=7, minutes=10)
LABEL_DAYS = 30
DAYS = (1, 7, 14, 30)
UNSEEN = pl.duration(days=7 + LABEL_DAYS, minutes=10)
# A prefix of features, and the column of the frauds that they see.
FRAUDS = {"": "is_fraud", "usual_": "is_usual_fraud"}


def compute(payments: pl.DataFrame) -> pl.DataFrame:
    """The 37 features, in the order of `payments`, which is by time."""
    at = pl.col("timestamp").dt.truncate(RESOLUTION)
    # Tells rows of an instant apart, in less time than there is between instants.
    moment = at + (pl.col("timestamp") - at) / 100
    prepared = (
        payments.lazy()
        .with_columns(
            at=at,
            moment=moment,
            one=pl.lit(1, pl.Int64),
            is_fraud=pl.col("is_fraud").cast(pl.Int64),
            number=pl.int_range(pl.len(), dtype=pl.Int64).over("customer_id"),
            row=pl.int_range(pl.len(), dtype=pl.Int64),
        )
        .with_columns(
            ends=pl.col("at") - DELAY,
            instant=pl.col("at").rle_id().cast(pl.Int64).over("terminal_id"),
        )
    )
    with_usual = (
        prepared.join(_usual(prepared), on=["customer_id", "number"], how="left")
        .with_columns(amount_to_median=_ratio(pl.col("amount"), pl.col("usual")))
        .with_columns(
            is_usual_fraud=pl.when(pl.col("amount_to_median").cast(pl.Float32) > 2)
            .then(0)
            .otherwise("is_fraud")
        )
    )
    joined = (
        with_usual.sort("ends", "row")
        .join_asof(
            _instants(with_usual),
            left_on="ends",
            right_on="last",
            by="terminal_id",
            check_sortedness=False,  # Polars cannot, with `by`; both are sorted
        )
        .sort("row")
    )
    return joined.select([*_of_row(), *_of_customer(), *_of_terminal()]).collect()


def _usual(payments: pl.LazyFrame) -> pl.LazyFrame:
    """The median of a customer's last 32 amounts before each, and the distance from it."""
    amount = pl.col("amount")
    return (
        payments.select("customer_id", "number", "amount")
        .sort("customer_id", "number")
        .rolling("number", period="32i", closed="left", offset="-32i", group_by="customer_id")
        .agg(usual=amount.median(), distance=(amount - amount.median()).abs().median())
    )


def _instants(payments: pl.LazyFrame) -> pl.LazyFrame:
    """Of each instant of a terminal: its share of frauds, the last fraud, its run of frauds."""
    shares = {f"{prefix}share": pl.col(column).mean() for prefix, column in FRAUDS.items()}
    of_runs: dict[str, pl.Expr] = {}
    for prefix in FRAUDS:
        has_fraud = pl.col(f"{prefix}share") > 0
        begins_run = has_fraud & ~has_fraud.shift(fill_value=False).over("terminal_id")
        of_runs |= {
            f"{prefix}last_fraud": _last_where(has_fraud, "last"),
            f"{prefix}run_start": _last_where(begins_run, "last"),
            f"{prefix}run_instant": _last_where(begins_run, "last_instant"),
        }
    return (
        payments.group_by("terminal_id", last="at")
        .agg(
            last_instant=pl.col("instant").first(),
            fraud_amount=pl.col("amount").filter(pl.col("is_fraud") > 0).min(),
            **shares,
        )
        .sort("last")
        .with_columns(
            fraud_amount=pl.col("fraud_amount").forward_fill().over("terminal_id"), **of_runs
        )
    )


def _last_where(condition: pl.Expr, column: str) -> pl.Expr:
    return pl.when(condition).then(column).forward_fill().over("terminal_id")


def _of_row() -> list[pl.Expr]:
    timestamp = pl.col("timestamp").dt
    return [
        pl.col("amount"),
        (timestamp.weekday() >= 6).cast(pl.Float64).alias("is_weekend"),
        (timestamp.hour() <= 6).cast(pl.Float64).alias("is_night"),
    ]


def _of_customer() -> list[pl.Expr]:
    one, amount, to_median = pl.col("one"), pl.col("amount"), pl.col("amount_to_median")
    expressions = []
    for days in (1, 7, 30):
        count = _over_customer(one.rolling_sum_by, days)
        mean = _over_customer(amount.rolling_mean_by, days)
        expressions += [
            count.alias(f"customer_count_{days}d"),
            mean.alias(f"customer_mean_amount_{days}d"),
        ]
    usual = pl.col("usual").fill_null(0)
    since_last = pl.col("at") - pl.col("at").shift().over("customer_id")
    month = pl.duration(days=30)
    scale = pl.max_horizontal(1.4826 * pl.col("distance").fill_null(0), 0.1 * usual)
    return [
        *expressions,
        to_median.alias("customer_amount_to_median"),
        _ratio(amount - usual, scale).alias("customer_amount_robust_z"),
        _to_mean_before(30),
        _to_mean_before(90),
        _over_customer(amount.rolling_max_by, 30).alias("customer_max_amount_30d"),
        _over_customer(to_median.rolling_max_by, 7).alias("customer_max_amount_to_median_7d"),
        _over_customer(to_median.rolling_max_by, 14).alias("customer_max_amount_to_median_14d"),
        _seconds(pl.when(since_last < month).then(since_last).otherwise(month)).alias(
            "customer_time_since_last"
        ),
        _seconds(pl.col("at") - pl.col("at").first().over("customer_id")).alias(
            "customer_history_length"
        ),
    ]


def _to_mean_before(days: int) -> pl.Expr:
    """The amount over the mean of the customer's others in so many days."""
    amount = pl.col("amount")
    others = _over_customer(pl.col("one").rolling_sum_by, days) - 1
    total = _over_customer(amount.rolling_sum_by, days) - amount
    to_mean = _ratio(amount, _ratio(total, others))
    return to_mean.alias(f"customer_amount_to_mean_{days}d")


def _over_customer(rolling: Callable[..., pl.Expr], days: int) -> pl.Expr:
    # A minute less, so that the instant a whole window ago stays out.
    window = f"{days * 24 * 60 - 1}m"
    return rolling("moment", window_size=window, closed="right").over("customer_id")


def _of_terminal() -> list[pl.Expr]:
    counts = {days: _since(pl.col("one"), 7 + days) - _since(pl.col("one"), 7) for days in DAYS}
    starts = pl.col("at") - UNSEEN
    return [
        *(count.alias(f"terminal_count_{days}d") for days, count in counts.items()),
        _age(pl.col("last"), starts).alias("terminal_label_gap"),
        pl.when(pl.col("last_fraud") > starts)
        .then("fraud_amount")
        .otherwise(0.0)
        .alias("terminal_last_fraud_amount"),
        *(
            _fraud_rate("is_fraud", days, counts).alias(f"terminal_fraud_rate_{days}d")
            for days in DAYS
        ),
        _fraud_rate("is_usual_fraud", 14, counts).alias("terminal_usual_fraud_rate_14d"),
        *(it for prefix in FRAUDS for it in _of_run(prefix)),
    ]


def _fraud_rate(column: str, days: int, counts: dict[int, pl.Expr]) -> pl.Expr:
    is_fraud = pl.col(column)
    return _ratio(_since(is_fraud, 7 + days) - _since(is_fraud, 7), counts[days])


def _of_run(prefix: str) -> list[pl.Expr]:
    """What the last known labels say, and the run of frauds up to them."""
    starts, last, share = pl.col("at") - UNSEEN, pl.col("last"), pl.col(f"{prefix}share")
    first = _over_terminal(pl.col("at").to_physical().rolling_min_by, LABEL_DAYS + 7)
    run_start = pl.max_horizontal(f"{prefix}run_start", first.cast(pl.Datetime("us", "UTC")))
    first_instant = _over_terminal(pl.col("instant").rolling_min_by, LABEL_DAYS + 7)
    run_instant = pl.max_horizontal(f"{prefix}run_instant", first_instant)
    run_length = (pl.col("last_instant") - run_instant + 1).cast(pl.Float64)
    ongoing = (last > starts) & (share > 0)
    found = {
        "last_label": pl.when(last > starts).then(share).otherwise(0.0),
        "fraud_age": _age(pl.col(f"{prefix}last_fraud"), starts),
        "fraud_run_age": pl.when(ongoing).then(_seconds(pl.col("at") - run_start)).otherwise(0.0),
        "fraud_run_length": pl.when(ongoing).then(run_length).otherwise(0.0),
    }
    return [feature.alias(f"terminal_{prefix}{name}") for name, feature in found.items()]


def _since(column: pl.Expr, days: int) -> pl.Expr:
    return _over_terminal(column.rolling_sum_by, days)


def _over_terminal(rolling: Callable[..., pl.Expr], days: int) -> pl.Expr:
    window = f"{days * 24 * 60 + 10}m"
    return rolling("at", window_size=window, closed="right").over("terminal_id")


def _age(then: pl.Expr, starts: pl.Expr) -> pl.Expr:
    return _seconds(pl.when(then > starts).then(pl.col("at") - then).otherwise(UNSEEN))


def _ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    return pl.when(denominator > 0).then(numerator / denominator).otherwise(0.0)


def _seconds(span: pl.Expr) -> pl.Expr:
    return span.dt.total_seconds().cast(pl.Float64)
