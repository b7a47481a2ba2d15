"""The handbook's features as the handbook computes them: pandas, a rolling window a group."""

from __future__ import annotations

import pandas as pd

DAYS = (1, 7, 30)
DELAY = 7


def compute(payments: pd.DataFrame) -> pd.DataFrame:
    """The 12 window features, indexed by transaction_id.

    Args:
        payments: transaction_id, timestamp, customer_id, terminal_id, amount, is_fraud; by time.
    """
    customers = payments.groupby("customer_id", group_keys=False)[payments.columns]
    with_customers = customers.apply(_of_customer)
    terminals = with_customers.groupby("terminal_id", group_keys=False)[with_customers.columns]
    return terminals.apply(_of_terminal).set_index("transaction_id").iloc[:, -12:]


def _of_customer(payments: pd.DataFrame) -> pd.DataFrame:
    payments = payments.sort_values("timestamp")
    amount = payments.set_index("timestamp")["amount"]
    for days in DAYS:
        window = amount.rolling(f"{days}d")
        count = window.count()
        payments[f"customer_count_{days}d"] = count.to_numpy()
        payments[f"customer_mean_amount_{days}d"] = (window.sum() / count).to_numpy()
    return payments


def _of_terminal(payments: pd.DataFrame) -> pd.DataFrame:
    payments = payments.sort_values("timestamp")
    is_fraud = payments.set_index("timestamp")["is_fraud"].astype(float)
    delayed = is_fraud.rolling(f"{DELAY}d")
    for days in DAYS:
        window = is_fraud.rolling(f"{DELAY + days}d")
        count = window.count() - delayed.count()
        frauds = window.sum() - delayed.sum()
        payments[f"terminal_count_{days}d"] = count.to_numpy()
        payments[f"terminal_fraud_rate_{days}d"] = (frauds / count).fillna(0).to_numpy()
    return payments
