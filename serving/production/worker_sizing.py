"""What a worker costs: memory, and time to keep in step with others."""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_connector import open_journal
from fraud_detect.errors import ServingError
from fraud_detect.store_url import hasty
from fraud_ml import journal_entries
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.feature_state import FeatureState
from fraud_ml.journal_entries import Transactions
from fraud_ml.replica import Replica, features_of_nobody
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate

BATCH = 32  # the most that a worker takes at once
_AT_ONCE = 1_000
_N_TIMED = 300  # batches


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizing:
    """What one worker costs."""

    n_payments: int
    """That it knows."""
    n_keys: int
    """Customers and terminals that they are of."""
    n_features: int
    """Of each payment."""
    bytes_a_payment: float
    """In memory, of customers who pay twice a day; as long as windows and label delay look back."""
    bytes_a_key: float
    """In memory, of a customer or terminal that was seen once or twice, all in all."""
    snapshot_bytes_a_payment: float
    """In the feature store."""
    count_us: float
    """Microseconds of a core, to count one payment that another worker took."""
    append_ms: float
    """Milliseconds to append a batch of `BATCH` payments to the journal."""


def measured(url: str, *, n_customers: int, n_days: int) -> Sizing:
    """The sizing, of a worker that knows some days of payments.

    Args:
        url: of a feature store that nobody uses.
        n_customers: about twice as many payments a day, at as many terminals.
        n_days: of payments.

    Raises:
        ServingError: the journal there is in use.
    """
    with open_journal(url) as journal:
        if journal.last():
            raise ServingError("this feature store is in use: give the URL of an empty database")
    features_of_nobody(DEFAULT_SPEC)  # compiles, which takes memory too
    payments = _payments(n_customers, n_days)
    n_timed = min(_N_TIMED * BATCH, payments.num_rows // 2)
    n_known = payments.num_rows - n_timed
    replica, taken = _knowing(payments.slice(0, n_known))
    seldom, taken_seldom = _knowing(_payments(5 * n_customers, 1))
    snapshot = len(replica.to_bytes())
    coming = list(_entries(payments.slice(n_known), BATCH))
    started = time.process_time()
    for number, entry in enumerate(coming, start=replica.position + 1):
        replica.apply(number, entry)
    count = (time.process_time() - started) / n_timed
    return Sizing(
        n_payments=n_known,
        n_keys=sum(replica.state.n_keys.values()),
        n_features=len(DEFAULT_SPEC.names),
        bytes_a_payment=taken / n_known,
        bytes_a_key=taken_seldom / sum(seldom.state.n_keys.values()),
        snapshot_bytes_a_payment=snapshot / n_known,
        count_us=count * 1e6,
        append_ms=_append_seconds(url, coming) * 1e3,
    )


def _payments(n_customers: int, n_days: int) -> pa.Table:
    scenario = Scenario(
        n_days=n_days, population=Population(n_customers=n_customers, n_terminals=n_customers)
    )
    return simulate(scenario).transactions


def _knowing(payments: pa.Table) -> tuple[Replica, int]:
    """A state that knows ``payments``, and the bytes of memory that it takes."""
    before = _resident()
    replica = Replica(FeatureState(DEFAULT_SPEC))
    for position, entry in enumerate(_entries(payments, _AT_ONCE), start=1):
        replica.apply(position, entry)
    return replica, _resident() - before


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
        columns: dict[str, Sequence[Any]] = {
            name: (some[name].cast(pa.int64()) if name == "timestamp" else some[name]).to_pylist()
            for name in some.column_names
        }
        yield journal_entries.encode(Transactions(columns))


def _resident() -> int:
    """Bytes of this process in memory, without what it could give back."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
