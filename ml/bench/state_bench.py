"""How fast features are computed as transactions come: the running state against SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import handbook_sqlite
import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml.feature_spec import DEFAULT_SPEC, FeatureSpec
from fraud_ml.feature_state import FeatureState
from fraud_ml.simulator import Simulation, SimulatorConfig, simulate
from tools.bench.harness import Result, in_turn, say

PEER = "SQLite, the handbook's 12 windows"
BATCHES = (1, 32)
A_ROUND = 1_024  # transactions, in whole batches
COLUMNS = ("transaction_id", "timestamp", "customer_id", "terminal_id", "amount")

Batch = dict[str, list[Any]]


def bench_state(*, quick: bool) -> list[Result]:
    """Our microseconds a transaction, and how many times those are the peer's.

    Both know the payments of 10,000 customers. Ours computes all features of ``DEFAULT_SPEC``,
    the peer 12 of them: the others would cost it more.
    """
    # The longest window and delay are 37 days; quick is quick because histories are shorter.
    simulation = simulate(SimulatorConfig(n_customers=10_000, n_days=7 if quick else 45))
    rounds = 9
    n_measured = len(BATCHES) * (rounds + 1) * A_ROUND
    n_known = simulation.transactions.num_rows - n_measured
    say(f"feature state of {n_known:,} transactions")
    state, database = warm(simulation, n_known, DEFAULT_SPEC)
    results = []
    for number, size in enumerate(BATCHES):
        start = n_known + number * (rounds + 1) * A_ROUND
        measured = simulation.transactions.slice(start, (rounds + 1) * A_ROUND)
        say(f"features of batches of {size} as they come")
        seconds = in_turn(
            {
                "ours": _each(batches_of(measured, size), state.update),
                PEER: _each(
                    batches_of(measured, size),
                    lambda batch: database.update(zip(*batch.values(), strict=True)),
                ),
            },
            rounds=rounds,
        )
        results.append(
            Result(
                name=f"state_batch{size}",
                value=seconds["ours"] / A_ROUND * 1e6,
                unit="us",
                peer=PEER,
                ratio=seconds[PEER] / seconds["ours"],
            )
        )
    return results


def warm(
    simulation: Simulation, n_known: int, spec: FeatureSpec
) -> tuple[FeatureState, handbook_sqlite.Features]:
    """Ours and the peer's knowledge of the first transactions, and of the frauds among them."""
    known = simulation.transactions.slice(0, n_known)
    frauds = simulation.labels.slice(0, n_known)
    frauds = frauds.filter(frauds["is_fraud"])
    state, database = FeatureState(spec), handbook_sqlite.Features()
    for batch in batches_of(known, 1_000):
        state.update(batch)
        database.load(zip(*batch.values(), strict=True))
    state.apply_labels(frauds)
    labelled_at = frauds["labelled_at"].cast(pa.int64())
    database.label(
        zip(
            pc.cast(frauds["is_fraud"], pa.int64()).to_pylist(),
            labelled_at.to_pylist(),
            frauds["transaction_id"].to_pylist(),
            strict=True,
        )
    )
    return state, database


def batches_of(transactions: pa.Table, size: int) -> Iterator[Batch]:
    """``transactions`` by columns of plain values, ``size`` rows at a time."""
    for start in range(0, transactions.num_rows, size):
        rows = transactions.slice(start, size)
        yield {
            name: (rows[name].cast(pa.int64()) if name == "timestamp" else rows[name]).to_pylist()
            for name in COLUMNS
        }


def _each(batches: Iterator[Batch], update: Callable[[Batch], object]) -> Callable[[], None]:
    """One round: the next transactions, none of them seen before."""
    all_batches = list(batches)
    size = len(all_batches[0]["amount"])
    coming = iter(all_batches)

    def run() -> None:
        for _ in range(A_ROUND // size):
            update(next(coming))

    return run
