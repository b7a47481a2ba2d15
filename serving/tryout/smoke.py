"""`./bazelw run //serving:smoke`: does it work here, and how well? In under a minute.

Trains a small model if none is stored, serves it on free ports with a state of its own, sends the
days before in bulk and then a day of payments one by one, and compares decisions with the truth.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from data_connector import ModelStore, open_journal
from data_connector.command import fraud_home, run
from fraud_detect.answers import ARROW, JSON
from fraud_detect.errors import ServingError
from fraud_detect.ports import free_ports
from fraud_detect.say_labels import say_labels
from fraud_detect.torchserve import TorchServe
from fraud_detect.torchserve_config import ServerOptions
from fraud_detect.transactions import MAX_TRANSACTIONS
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.errors import ArtifactError, DataError
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.policy import fit_capacity_policy
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import Simulation, simulate
from fraud_ml.training import train_model

SMALL = Scenario(n_days=45, population=Population(n_customers=1_000, n_terminals=2_000))
CARDS_A_DAY = 20
_PATH = f"/predictions/{MODEL_NAME}"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of N payments, sent one by one."""

    decisions: Sequence[str]
    seconds: Sequence[float]


def train_small(simulation: Simulation, models: ModelStore) -> None:
    """Trains on the week that ends eight days before the last day, and stores the model."""
    times = simulation.transactions["timestamp"]
    end = pc.max(times).as_py().date() - dt.timedelta(days=8)
    chosen = _between(simulation.transactions, end - dt.timedelta(days=7), end)
    rows = np.flatnonzero(chosen.to_numpy())
    features = compute_features(simulation.transactions, simulation.labels, DEFAULT_SPEC)
    table = simulation.transactions.take(rows)
    is_fraud = simulation.labels["is_fraud"].to_numpy(zero_copy_only=False)[rows].astype(bool)
    customers = table["customer_id"].to_numpy()
    matrix = feature_matrix(features.take(rows))
    model = train_model(matrix, is_fraud, customers=customers, feature_names=DEFAULT_SPEC.names)
    policy = fit_capacity_policy(
        table["timestamp"].cast(pa.date32()).cast(pa.int32()).to_numpy(),
        customers,
        is_fraud,
        model.out_of_fold_scores,
        cards_a_day=CARDS_A_DAY,
        decline_precision=0.95,
    )
    artifact = Artifact(net=model.net, spec=DEFAULT_SPEC, seed=0, policy=policy)
    models.publish(MODEL_NAME, lambda folder: save_artifact(folder, artifact))


def send_past(connection: http.client.HTTPConnection, payments: pa.Table) -> float:
    """Sends payments in bulk; transactions a second."""
    started = time.perf_counter()
    for start in range(0, payments.num_rows, MAX_TRANSACTIONS):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, payments.schema) as writer:
            writer.write_table(payments.slice(start, MAX_TRANSACTIONS))
        _post(connection, sink.getvalue().to_pybytes(), ARROW)
    return float(payments.num_rows / (time.perf_counter() - started))


def send_day(connection: http.client.HTTPConnection, payments: pa.Table) -> Sent:
    """Sends payments one by one, as they would come."""
    bodies = [json.dumps(row, default=str).encode() for row in payments.to_pylist()]
    decisions, seconds = [], []
    for body in bodies:
        started = time.perf_counter()
        answer = json.loads(_post(connection, body, JSON))
        seconds.append(time.perf_counter() - started)
        decisions.append(str(answer["decision"]))
    return Sent(decisions, seconds)


def _post(connection: http.client.HTTPConnection, body: bytes, content_type: str) -> bytes:
    connection.request("POST", _PATH, body, {"Content-Type": content_type})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise ServingError(f"the service answered {answer.status}: {content.decode()}")
    return content


def _between(transactions: pa.Table, start: dt.date, end: dt.date) -> Any:
    days = transactions["timestamp"].cast(pa.date32())
    return pc.and_(pc.greater_equal(days, start), pc.less(days, end))


def show(sent: Sent, is_fraud: Sequence[bool], bulk: float, console: Console) -> None:
    """Prints latencies and the confusion table."""
    p50, p95, p99 = np.percentile(sent.seconds, [50, 95, 99]) * 1e3
    console.print(
        f"{len(sent.seconds):,} payments one by one: p50 {p50:.1f} ms, p95 {p95:.1f} ms,"
        f" p99 {p99:.1f} ms; before them in bulk: {bulk:,.0f} a second"
    )
    table = Table("decision", "frauds", "others", title="the day's decisions")
    decided = np.array(sent.decisions)
    fraud = np.array(is_fraud)
    for decision in ("approve", "review", "decline", "None"):
        row = decided == decision
        if row.any() or decision != "None":
            table.add_row(decision, str(int((row & fraud).sum())), str(int((row & ~fraud).sum())))
    console.print(table)


def main() -> None:
    """Simulates, serves and shows."""
    console = Console()
    models_folder = fraud_home() / "models"
    models = ModelStore(models_folder)
    simulation = simulate(SMALL)
    if not models.list(MODEL_NAME):
        console.print("no model is stored: training a small one")
        train_small(simulation, models)
    version = models.latest(MODEL_NAME).version
    last = pc.max(simulation.transactions["timestamp"]).as_py().date()
    is_day = _between(simulation.transactions, last, last + dt.timedelta(days=1))
    past = simulation.transactions.filter(pc.invert(is_day))
    day = simulation.transactions.filter(is_day)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'features.db'}"
        settings = WorkerSettings(model_store=str(models_folder), feature_store=url)
        options = ServerOptions(ports=free_ports(), token_auth=False)
        with TorchServe(str(version), settings, options) as server, open_journal(url) as journal:
            console.print(f"serving version {version}")
            connection = http.client.HTTPConnection("127.0.0.1", server.ports.inference)
            bulk = send_past(connection, past)
            say_labels(journal, simulation.labels)
            sent = send_day(connection, day)
            connection.close()
    truth = simulation.labels.filter(is_day)["is_fraud"].to_pylist()
    show(sent, truth, bulk, console)


if __name__ == "__main__":
    sys.exit(run(main, shown=(ArtifactError, DataError, ServingError)))
