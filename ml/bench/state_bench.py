"""How fast features are computed as transactions come: the running state against SQLite."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import handbook_sqlite
import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml.default_specs import DEFAULT_SPEC, HANDBOOK_SPEC, default_spec
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.feature_state import FeatureState
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import Simulation, simulate
from tools.bench.harness import Result, in_turn, say

PEER = "SQLite, the handbook's 12 windows"
WITHOUT_TRAFFIC = "the same without the four"
BATCHES = (1, 32)
A_ROUND = 1_024  # transactions, in whole batches
COLUMNS = ("transaction_id", "timestamp", "customer_id", "terminal_id", "amount")

Batch = dict[str, list[Any]]


def bench_state(*, quick: bool) -> list[Result]:
    """Our microseconds a transaction, and how many times the peer takes those.

    All know the payments of 10,000 customers. The peer computes 12 features: once we compute the
    same ones and three that need no past, and once all of ``DEFAULT_SPEC``, which is more work.
    What the four ``TRAFFIC_FEATURES`` cost on top of those has ``DEFAULT_SPEC`` as its peer.
    """
    # The longest window and delay are 37 days; quick is quick because histories are shorter.
    simulation = simulate(
        Scenario(n_days=7 if quick else 45, population=Population(n_customers=10_000))
    )
    rounds = 9
    n_measured = len(BATCHES) * (rounds + 1) * A_ROUND
    n_known = simulation.transactions.num_rows - n_measured
    say(f"feature state of {n_known:,} transactions")
    gc.collect()
    gc.freeze()  # as in the service; else the longest pause is the collector's, over all modules
    known, frauds = known_of(simulation, n_known)
    database = warm_database(known, frauds)
    specs = {
        "default": DEFAULT_SPEC,
        "handbook": HANDBOOK_SPEC,
        "traffic": default_spec(traffic=True),
    }
    warm = {name: warm_state(known, frauds, spec) for name, spec in specs.items()}
    states = {name: each.state for name, each in warm.items()}
    pause = Result(
        name="state_longest_pause", value=warm["default"].longest_update * 1e3, unit="ms"
    )
    results = [_size(states), pause]
    for number, size in enumerate(BATCHES):
        start = n_known + number * (rounds + 1) * A_ROUND
        coming = simulation.transactions.slice(start, (rounds + 1) * A_ROUND)
        say(f"features of batches of {size} as they come")
        contenders = {
            spec: _each(batches_of(coming, size), state.update) for spec, state in states.items()
        }
        contenders[PEER] = _each(
            batches_of(coming, size),
            lambda batch: database.update(zip(*batch.values(), strict=True)),
        )
        seconds = in_turn(contenders, rounds=rounds)
        results += [
            Result(
                name=f"state_{of}batch{size}",
                value=seconds[spec] / A_ROUND * 1e6,
                unit="us",
                peer=name,
                ratio=seconds[peer] / seconds[spec],
            )
            for of, spec, peer, name in (
                ("", "default", PEER, PEER),
                ("handbook_", "handbook", PEER, PEER),
                ("traffic_", "traffic", "default", WITHOUT_TRAFFIC),
            )
        ]
    return results


def _size(states: Mapping[str, FeatureState]) -> Result:
    megabytes = {spec: len(states[spec].to_bytes()) / 1e6 for spec in ("default", "traffic")}
    return Result(
        name="state_traffic_saved",
        value=megabytes["traffic"],
        unit="MB",
        peer=WITHOUT_TRAFFIC,
        ratio=megabytes["default"] / megabytes["traffic"],
    )


def known_of(simulation: Simulation, n_known: int) -> tuple[pa.Table, pa.Table]:
    """The first transactions, and the frauds among them."""
    labels = simulation.labels.slice(0, n_known)
    return simulation.transactions.slice(0, n_known), labels.filter(labels["is_fraud"])


@dataclass(frozen=True, slots=True)
class WarmState:
    """Ours, when it knows some transactions and their labels."""

    state: FeatureState
    longest_update: float
    """Seconds that a thousand of them took at most, while it grew: another would have waited."""


def warm_state(known: pa.Table, frauds: pa.Table, spec: FeatureSpec) -> WarmState:
    """A state that has counted the transactions ``known``, and their labels."""
    state, longest = FeatureState(spec), 0.0
    for batch in batches_of(known, 1_000):
        started = time.perf_counter()
        state.update(batch)
        longest = max(longest, time.perf_counter() - started)
    state.apply_labels(frauds)
    return WarmState(state, longest)


def warm_database(known: pa.Table, frauds: pa.Table) -> handbook_sqlite.Features:
    """The peer, when it knows the same."""
    database = handbook_sqlite.Features()
    for batch in batches_of(known, 1_000):
        database.load(zip(*batch.values(), strict=True))
    labelled_at = frauds["labelled_at"].cast(pa.int64())
    database.label(
        zip(
            pc.cast(frauds["is_fraud"], pa.int64()).to_pylist(),
            labelled_at.to_pylist(),
            frauds["transaction_id"].to_pylist(),
            strict=True,
        )
    )
    return database


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
