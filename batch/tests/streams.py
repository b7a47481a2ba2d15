"""A service's journal as it comes about, and the features that whoever applies it finds."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_connector import Journal
from fraud_ml import journal_entries
from fraud_ml.default_specs import default_spec
from fraud_ml.feature_state import FeatureState
from fraud_ml.journal_entries import Transactions, label_entries
from fraud_ml.replica import Replica
from fraud_ml.scenario import Labelling, Population, Scenario
from fraud_ml.simulator import Simulation, simulate

SPEC = default_spec(label_delay=dt.timedelta(days=1))
"""Thirty features, among them all kinds of what is known of frauds."""


def small_stream(seed: int) -> Simulation:
    """Some hundred payments, and when they were found to be frauds: a day or more after."""
    simulated = simulate(
        Scenario(
            n_days=6,
            seed=seed,
            labels=Labelling(delay_days=1),
            population=Population(n_customers=40, n_terminals=15, radius=40),
        )
    )
    some = slice(0, 300)
    payments = simulated.transactions[some]
    random = Random(seed)
    frauds = [random.random() < 0.2 for _ in range(payments.num_rows)]
    late = [random.randint(0, 2 * 86_400_000_000) for _ in frauds]
    times = payments["timestamp"].cast(pa.int64()).to_numpy() + 86_400_000_000 + np.array(late)
    labels = pa.table(
        {
            "transaction_id": payments["transaction_id"],
            "is_fraud": frauds,
            "labelled_at": pa.array(times, pa.timestamp("us", tz="UTC")),
        }
    )
    return replace(simulated, transactions=payments, labels=labels)


def columns_of(payments: pa.Table) -> dict[str, list[Any]]:
    """As a service counts them."""
    return {
        name: (payments[name].cast(pa.int64()) if name == "timestamp" else payments[name])
        .to_pylist()
        for name in payments.column_names
    }  # fmt: skip


def entries_of(simulation: Simulation, random: Random) -> list[bytes]:
    """The journal of a service that got the payments in this order, and labels when they came."""
    payments, labels = simulation.transactions, simulation.labels.sort_by("labelled_at")
    times = payments["timestamp"].cast(pa.int64()).to_numpy()
    known = labels["labelled_at"].cast(pa.int64()).to_numpy()
    values, done, told = [], 0, 0
    while done < payments.num_rows:
        n = random.choice([1, 1, 1, 2, 5, 20])
        if told < len(known):  # a label is told before the first payment that it counts for
            late = np.flatnonzero(times[done : done + n] >= known[told])
            n = int(late[0]) if len(late) else n
        some = payments.slice(done, n)
        values.append(journal_entries.encode(Transactions(columns_of(some))))
        done += n
        # Before the first payment that comes after them.
        next_time = times[done] if done < len(times) else times.max()
        now = max(int(np.searchsorted(known, next_time, side="right")), told)
        if now > told:
            values += label_entries(labels.slice(told, now - told))
            told = now
    return values


def last_time(values: list[bytes]) -> int:
    """Of the payments and labels in entries, the latest time; that before all without any."""
    times = [-(2**62)]
    for value in values:
        entry = journal_entries.decode(value)
        is_payments = isinstance(entry, Transactions)
        times += entry.columns["timestamp"] if is_payments else entry.labelled_at
    return max(times)


def append(journal: Journal, values: list[bytes]) -> None:
    """The next entries."""
    for value in values:
        journal.append(value, after=journal.last())


def replayed(replica: Replica, values: list[bytes]) -> npt.NDArray[np.float64]:
    """The features that it gives, applying all ``values`` after its position."""
    rows = [
        replica.apply(position, values[position - 1])
        for position in range(replica.position + 1, len(values) + 1)
    ]
    return np.concatenate([np.empty((0, len(SPEC.names))), *rows])


def lived_through(values: list[bytes], after: int) -> npt.NDArray[np.float64]:
    """What a service that applied all from the first on finds of the entries after a position."""
    replica = Replica(FeatureState(SPEC))
    for position in range(1, after + 1):
        replica.apply(position, values[position - 1])
    return replayed(replica, values)
