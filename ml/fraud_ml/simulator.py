"""A simulator of card payments with three kinds of fraud, after the Fraud Detection Handbook.

The process is that of Le Borgne, Siblini, Lebichot, Bontempi: "Reproducible Machine Learning for
Credit Card Fraud Detection - Practical Handbook" (2022), section 3.2; the code is new and works
on whole arrays. Places and times are made up, so a customer or a terminal is only a number.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml._places import Reach
from fraud_ml.feature_spec import DEFAULT_LABEL_DELAY
from fraud_ml.transactions import label_schema, transaction_schema

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SECONDS_A_DAY = 86_400
LARGE_AMOUNT = 220.0  # scenario 1: any payment above it
TERMINALS_A_DAY = 2  # scenario 2: terminals newly compromised each day
TERMINAL_DAYS = 28
CUSTOMERS_A_DAY = 3  # scenario 3: customers newly compromised each day
CUSTOMER_DAYS = 14
CUSTOMER_SHARE = 3  # one in three of the payments of a day's three, together, is fraud
CUSTOMER_FACTOR = 5.0  # and so many times as large


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatorConfig:
    """How much to simulate. The defaults are those of the handbook's published data set."""

    n_customers: int = 5_000  # about 9,600 transactions a day
    n_terminals: int = 10_000  # about 78 in reach of a customer, one transaction a day each
    n_days: int = 183  # six months: 30-day windows, four folds to tune on, four to test on
    start: dt.date = dt.date(2018, 4, 1)  # so that published folds have the same dates here
    radius: float = 5.0  # how far a customer goes, on a map of 100 x 100
    label_delay: dt.timedelta = DEFAULT_LABEL_DELAY  # the investigators' week
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("n_customers", CUSTOMERS_A_DAY),
            ("n_terminals", TERMINALS_A_DAY),
            ("n_days", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0 < self.radius < float("inf"):
            raise ValueError(f"radius must be positive and finite, got {self.radius}")
        if self.label_delay < dt.timedelta(0):
            raise ValueError(f"label_delay must not be negative, got {self.label_delay}")


@dataclass(frozen=True, slots=True)
class Simulation:
    """What :func:`simulate` returns: three tables of transactions, and one of the customers.

    The three are row by row about the same transactions.
    """

    transactions: pa.Table
    """As from :func:`~fraud_ml.transactions.normalise_transactions`; ids 0, 1, ... in time."""
    labels: pa.Table
    """``transaction_id``, ``is_fraud``, ``labelled_at``: ``label_delay`` after the transaction."""
    truth: pa.Table
    """``transaction_id``, ``scenario``: 0 none, 1 amount, 2 terminal, 3 customer. No feature."""
    customers: pa.Table
    """``customer_id``, ``mean_amount`` in currency, ``payments_a_day``: what amounts and numbers
    were drawn with, before any fraud. Hidden like the truth: for an oracle, no feature."""


@dataclass(frozen=True, slots=True)
class _Payments:
    """Columns of the transactions in time order: shape ``(N,)`` each."""

    second: Ints  # since the start
    customer: Ints
    terminal: Ints
    amount: Floats

    @property
    def day(self) -> Ints:
        return self.second // _SECONDS_A_DAY


def simulate(config: SimulatorConfig) -> Simulation:
    """Transactions, labels and truth; the same ``config`` gives the same bytes.

    Of the scenarios, a later one overwrites an earlier one: a compromised customer's payment at a
    compromised terminal is of scenario 3.

    Raises:
        ValueError: the configuration gives no transaction, as with terminals out of all reach.
    """
    rng = np.random.default_rng(config.seed)
    payments, customers = _payments(rng, config)
    if len(payments.second) == 0:
        raise ValueError(f"no transaction came out; more customers, days or radius than {config}")
    scenario = np.zeros(len(payments.second), dtype=np.int8)
    scenario[payments.amount > LARGE_AMOUNT] = 1
    scenario[_at_compromised_terminal(rng, config, payments)] = 2
    amount = payments.amount.copy()
    for rows in _of_compromised_customers(rng, config, payments):
        amount[rows] *= CUSTOMER_FACTOR
        scenario[rows] = 3
    return _tables(config, payments, np.round(amount, 2), scenario, customers)


def _payments(rng: np.random.Generator, config: SimulatorConfig) -> tuple[_Payments, pa.Table]:
    """All payments before any fraud, and the customers that make them."""
    mean_amount = rng.uniform(5, 100, config.n_customers)
    payments_a_day = rng.uniform(0, 4, config.n_customers)
    reach = Reach.draw(
        rng,
        n_customers=config.n_customers,
        n_terminals=config.n_terminals,
        radius=config.radius,
    )
    payments_a_day[reach.count == 0] = 0

    number = rng.poisson(payments_a_day[:, None], (config.n_customers, config.n_days)).ravel()
    customer = np.repeat(np.arange(config.n_customers), config.n_days).repeat(number)
    day = np.tile(np.arange(config.n_days), config.n_customers).repeat(number)
    time_of_day = rng.normal(_SECONDS_A_DAY / 2, 20_000, len(day)).astype(np.int64)
    kept = (time_of_day > 0) & (time_of_day < _SECONDS_A_DAY)
    customer, second = customer[kept], (day * _SECONDS_A_DAY + time_of_day)[kept]

    mean = mean_amount[customer]
    amount = rng.normal(mean, mean / 2)
    negative = amount < 0
    amount[negative] = rng.uniform(0, 2 * mean[negative])
    terminal = reach.draw_terminals(rng, customer)

    order = np.argsort(second, kind="stable")
    customers = pa.table(
        {
            "customer_id": np.arange(config.n_customers),
            "mean_amount": mean_amount,
            "payments_a_day": payments_a_day,
        }
    )
    payments = _Payments(
        second[order], customer[order], terminal[order], np.round(amount, 2)[order]
    )
    return payments, customers


def _at_compromised_terminal(
    rng: np.random.Generator, config: SimulatorConfig, payments: _Payments
) -> npt.NDArray[np.bool_]:
    """Which payments are of scenario 2: shape ``(N,)``."""
    compromised = np.zeros((config.n_terminals, config.n_days), dtype=bool)
    for day in range(config.n_days - 1):  # the handbook's draws leave the last day out
        terminals = rng.choice(config.n_terminals, TERMINALS_A_DAY, replace=False)
        compromised[terminals, day : day + TERMINAL_DAYS] = True
    return compromised[payments.terminal, payments.day]


def _of_compromised_customers(
    rng: np.random.Generator, config: SimulatorConfig, payments: _Payments
) -> list[Ints]:
    """For each day's compromised customers, the rows of their payments of scenario 3."""
    by_customer = np.argsort(payments.customer, kind="stable")  # and then by time
    ends = np.searchsorted(payments.customer[by_customer], np.arange(config.n_customers + 1))
    day_of = payments.day
    frauds = []
    for day in range(config.n_days - 1):
        customers = rng.choice(config.n_customers, CUSTOMERS_A_DAY, replace=False)
        rows = np.concatenate([by_customer[ends[c] : ends[c + 1]] for c in customers])
        rows = rows[(day_of[rows] >= day) & (day_of[rows] < day + CUSTOMER_DAYS)]
        frauds.append(rng.choice(rows, len(rows) // CUSTOMER_SHARE, replace=False))
    return frauds


def _tables(
    config: SimulatorConfig,
    payments: _Payments,
    amount: Floats,
    scenario: npt.NDArray[np.int8],
    customers: pa.Table,
) -> Simulation:
    ids = np.arange(len(amount))
    time = np.datetime64(config.start, "us") + payments.second.astype("timedelta64[s]")
    labelled_at = time + np.timedelta64(config.label_delay)
    int64 = pa.int64()
    return Simulation(
        transactions=pa.table(
            [ids, time, payments.customer, payments.terminal, amount],
            schema=transaction_schema(transaction_id=int64, customer_id=int64, terminal_id=int64),
        ),
        labels=pa.table(
            [ids, scenario > 0, labelled_at], schema=label_schema(transaction_id=int64)
        ),
        truth=pa.table({"transaction_id": ids, "scenario": scenario}),
        customers=customers,
    )
