"""What a worker costs: memory, and time to keep in step with others."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_connector import open_journal
from fraud_detect import journal_entries
from fraud_detect.errors import ServingError
from fraud_detect.journal_entries import Transactions
from fraud_detect.replica import Replica, features_of_nobody
from fraud_detect.store_url import hasty
from fraud_ml.feature_spec import DEFAULT_SPEC
from fraud_ml.feature_state import FeatureState
from fraud_ml.simulator import SimulatorConfig, simulate

BATCH = 32  # the most that a worker takes at once
_AT_ONCE = 10_000
_N_TIMED = 300  # batches
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizing:
    """What one worker costs."""

    n_payments: int
    """That it knows."""
    n_keys: int
    """Customers and terminals that it knows."""
    bytes_a_payment: float
    """In memory, as long as the longest window and the label delay look back."""
    bytes_a_key: float
    """In memory, beside that."""
    snapshot_bytes_a_payment: float
    """In the feature store."""
    count_us: float
    """Microseconds to count one payment that another worker took."""
    append_ms: float
    """Milliseconds to append a batch of `BATCH` payments to the journal."""


def measured(url: str, *, n_customers: int, days: tuple[int, int]) -> Sizing:
    """The sizing, from a state that knows the payments of some days.

    What a payment costs is what grows with them after all keys are known; what a key costs is the
    rest.

    Args:
        url: of a feature store that nobody uses.
        n_customers: about twice as many payments a day, at as many terminals.
        days: when memory is looked at; by the first, nearly all keys are known.

    Raises:
        ServingError: the journal there is in use.
    """
    with open_journal(url) as journal:
        if journal.last():
            raise ServingError("this feature store is in use: give the URL of an empty database")
    config = SimulatorConfig(n_customers=n_customers, n_terminals=n_customers, n_days=days[1] + 1)
    payments = simulate(config).transactions
    times = payments["timestamp"].cast(pa.int64()).to_numpy()
    n_known = [int(np.searchsorted(times, times[0] + day * _DAY)) for day in days]
    features_of_nobody(DEFAULT_SPEC)  # compiles, which takes memory too
    replica = Replica(FeatureState(DEFAULT_SPEC))
    before, took = _resident(), []
    position = 0
    for start, end in zip((0, n_known[0]), n_known, strict=True):
        for entry in _entries(payments.slice(start, end - start), _AT_ONCE):
            position += 1
            replica.apply(position, entry)
        took.append(_resident() - before)
    n_keys = sum(replica.state.n_keys.values())
    a_payment = (took[1] - took[0]) / (n_known[1] - n_known[0])
    snapshot = len(replica.to_bytes())
    coming = list(_entries(payments.slice(n_known[1], _N_TIMED * BATCH), BATCH))
    started = time.perf_counter()
    for number, entry in enumerate(coming, start=position + 1):
        replica.apply(number, entry)
    count = (time.perf_counter() - started) / (len(coming) * BATCH)
    return Sizing(
        n_payments=n_known[1],
        n_keys=n_keys,
        bytes_a_payment=a_payment,
        bytes_a_key=(took[1] - a_payment * n_known[1]) / n_keys,
        snapshot_bytes_a_payment=snapshot / n_known[1],
        count_us=count * 1e6,
        append_ms=_append_seconds(url, coming) * 1e3,
    )


def _append_seconds(url: str, entries: list[bytes]) -> float:
    """The median of single appends."""
    seconds = []
    with open_journal(hasty(url)) as journal:
        for number, entry in enumerate(entries):
            started = time.perf_counter()
            journal.append(entry, after=number)
            seconds.append(time.perf_counter() - started)
        journal.trim(len(entries))
    return statistics.median(seconds)


def _entries(payments: pa.Table, size: int) -> Iterator[bytes]:
    """What the journal has of ``payments``, ``size`` in an entry."""
    for start in range(0, payments.num_rows, size):
        some = payments.slice(start, size)
        columns: dict[str, list[Any]] = {
            name: (some[name].cast(pa.int64()) if name == "timestamp" else some[name]).to_pylist()
            for name in some.column_names
        }
        yield journal_entries.encode(Transactions(columns))


def _resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
