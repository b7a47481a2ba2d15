"""The handbook's features in SQL: window functions over ranges of time, in DuckDB."""

from __future__ import annotations

import duckdb
import pyarrow as pa

DAYS = (1, 7, 30)
DELAY = 7

# A range is closed at both ends in SQL, and open at its start in the handbook.
_CUSTOMER = (
    "RANGE BETWEEN INTERVAL '{days} days' - INTERVAL 1 MICROSECOND PRECEDING AND CURRENT ROW"
)
_TERMINAL = (
    "RANGE BETWEEN INTERVAL '{start} days' - INTERVAL 1 MICROSECOND PRECEDING"
    " AND INTERVAL '{delay} days' PRECEDING"
)


def query() -> str:
    """The statement, over a table `payments`."""
    columns, windows = [], []
    for days in DAYS:
        columns += [
            f"count(*) OVER customer_{days} AS customer_count_{days}d",
            f"avg(amount) OVER customer_{days} AS customer_mean_amount_{days}d",
            f"count(*) OVER terminal_{days} AS terminal_count_{days}d",
            f"coalesce(avg(is_fraud::INT) OVER terminal_{days}, 0) AS terminal_fraud_rate_{days}d",
        ]
        customer = _CUSTOMER.format(days=days)
        terminal = _TERMINAL.format(start=DELAY + days, delay=DELAY)
        windows += [
            f"customer_{days} AS (PARTITION BY customer_id ORDER BY timestamp {customer})",
            f"terminal_{days} AS (PARTITION BY terminal_id ORDER BY timestamp {terminal})",
        ]
    return (
        f"SELECT transaction_id, {', '.join(columns)} FROM payments"  # noqa: S608 (ours alone)
        f" WINDOW {', '.join(windows)}"
    )


def compute(payments: pa.Table) -> pa.Table:
    """The 12 window features with transaction_id, in any order; `payments` as for pandas."""
    connection = duckdb.connect()
    connection.register("payments", payments)
    return connection.sql(query()).to_arrow_table()
