"""What everyone is measured with: one model, the same past, and the same payments to come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import torch

from data_connector import ModelStore, StoredModel, open_journal
from fraud_detect.online_state import OnlineState
from fraud_detect.snapshots import Snapshots
from fraud_ml import journal_entries
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.distribution import fit_reference
from fraud_ml.journal_entries import Labels
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.policy import CapacityPolicy
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate

BULK = 1_000  # transactions of a request
_AT_ONCE = 10_000  # when the past is counted


@dataclass(frozen=True, slots=True)
class Workload:
    """Payments of some days: those of the first are known, the others are yet to come."""

    known: pa.Table
    labels: pa.Table
    """Of the known ones, said at once; each counts from its own time on."""
    coming: pa.Table

    def singles(self, start: int, n: int) -> list[bytes]:
        """``n`` bodies of one transaction each, from the ``start``-th to come."""
        return [msgspec.json.encode(row) for row in _rows(self.coming.slice(start, n))]

    def bulks(self, start: int, n: int) -> list[bytes]:
        """``n`` bodies of `BULK` transactions each, from the ``start``-th to come."""
        return [msgspec.json.encode({"transactions": _rows(some)}) for some in self._some(start, n)]

    def arrow_bulks(self, start: int, n: int) -> list[bytes]:
        """The same as Arrow IPC streams."""
        return [_arrow(some) for some in self._some(start, n)]

    def _some(self, start: int, n: int) -> Iterator[pa.Table]:
        for at in range(start, start + n * BULK, BULK):
            yield self.coming.slice(at, BULK)


def simulated(*, n_customers: int, n_days: int, n_coming: int) -> Workload:
    """So many days of payments, of which the last ``n_coming`` are yet to come.

    Raises:
        ValueError: the days have no more payments than that.
    """
    simulation = simulate(Scenario(n_days=n_days, population=Population(n_customers=n_customers)))
    n_known = simulation.transactions.num_rows - n_coming
    if n_known <= 0:
        raise ValueError(f"{n_days=} of {n_customers=} have no more than {n_coming=} payments")
    return Workload(
        simulation.transactions.slice(0, n_known),
        simulation.labels.slice(0, n_known),
        simulation.transactions.slice(n_known),
    )


def published_model(folder: Path, *, seed: int = 0) -> StoredModel:
    """An untrained net of the default size in the model store ``folder``.

    It has all that a trained one has and that costs time: a policy, and a reference for drift.
    """
    torch.manual_seed(seed)
    net = FraudNet(DEFAULT_SPEC.categories, ModelConfig()).eval()
    net.number.per_width.fill_(0.01)  # so that its scores depend on the features
    policy = CapacityPolicy(review_above=0.5, decline_above=0.9)
    rng = np.random.default_rng(seed)
    usual = rng.lognormal(size=(_AT_ONCE, len(DEFAULT_SPEC.names))).astype(np.float32)
    reference = fit_reference(usual, rng.random(_AT_ONCE, dtype=np.float32), DEFAULT_SPEC.names)
    artifact = Artifact(net=net, spec=DEFAULT_SPEC, seed=seed, policy=policy, reference=reference)
    return ModelStore(folder).publish("fraud", lambda into: save_artifact(into, artifact))


def count_the_past(url: str, workload: Workload) -> None:
    """Lets the empty feature store at ``url`` know what is known, and saves the state there."""
    with open_journal(url) as journal:
        snapshots = Snapshots(url, DEFAULT_SPEC)
        state = OnlineState(journal, snapshots)
        for start in range(0, workload.known.num_rows, _AT_ONCE):
            rows = _plain(workload.known.slice(start, _AT_ONCE))
            state.count({name: rows[name].to_pylist() for name in rows.column_names})
        said = _labels(workload.labels)
        journal.append(journal_entries.encode(said), after=state.replica.position)
        state.catch_up()
        snapshots.save(state.replica)
        snapshots.close()


def _labels(labels: pa.Table) -> Labels:
    return Labels(
        labels["transaction_id"].to_pylist(),
        labels["is_fraud"].to_pylist(),
        labels["labelled_at"].cast(pa.int64()).to_pylist(),
    )


def _plain(transactions: pa.Table) -> pa.Table:
    """With times in microseconds."""
    at = transactions.column_names.index("timestamp")
    return transactions.set_column(at, "timestamp", transactions["timestamp"].cast(pa.int64()))


def _rows(transactions: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _plain(transactions).to_pylist()
    return rows


def _arrow(transactions: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, transactions.schema) as writer:
        writer.write_table(transactions)
    content: bytes = sink.getvalue().to_pybytes()
    return content
