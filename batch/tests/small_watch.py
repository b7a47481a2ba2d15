"""A model at work for four weeks: payments, scores, labels and the model, small and stable."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import data_connector
from data_connector import ModelStore
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.distribution import fit_reference
from fraud_ml.feature_spec import Aggregate, FeatureSpec, RowFeature, RowValue, WindowFeature
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.metrics import average_precision
from fraud_ml.model import FraudNet, ModelConfig

START = dt.datetime(2018, 6, 1, tzinfo=dt.UTC)
N_DAYS, PAYMENTS_A_DAY = 28, 400
END = START + dt.timedelta(days=N_DAYS)
DELAY = dt.timedelta(days=7)
DRIFT_FROM = END - dt.timedelta(days=7)  # the latest week, on which drift is measured
CLOSED_FROM = DRIFT_FROM - dt.timedelta(days=7)  # the last closed week
SPEC = FeatureSpec(
    features=(
        RowFeature(name="amount", value=RowValue.AMOUNT),
        RowFeature(name="is_night", value=RowValue.IS_NIGHT),
        WindowFeature(
            name="customer_count_1d",
            key="customer_id",
            aggregate=Aggregate.COUNT,
            window=dt.timedelta(days=1),
        ),
    )
)
_UTC = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, kw_only=True)
class World:
    """N payments in time order, shape ``(N,)`` each."""

    time: npt.NDArray[np.datetime64]
    customer: npt.NDArray[np.int64]
    amount: npt.NDArray[np.float64]
    is_fraud: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]

    def during(self, start: dt.datetime, end: dt.datetime) -> npt.NDArray[np.bool_]:
        """Which payments are of this time."""
        first, last = (np.datetime64(it.replace(tzinfo=None), "us") for it in (start, end))
        return (self.time >= first) & (self.time < last)

    def transactions(self) -> pa.Table:
        """As a user's export."""
        return pa.table(
            {
                "transaction_id": np.arange(len(self.time)),
                "timestamp": pa.array(self.time, pa.timestamp("us")).cast(_UTC),
                "customer_id": self.customer,
                "amount": self.amount,
            }
        )

    def labels(self) -> pa.Table:
        """Of all payments, each known :data:`DELAY` after its payment."""
        return pa.table(
            {
                "transaction_id": np.arange(len(self.time)),
                "is_fraud": self.is_fraud,
                "labelled_at": pa.array(self.time + np.timedelta64(DELAY), pa.timestamp("us")).cast(
                    _UTC
                ),
            }
        )

    def scores(self, *, version: int = 1) -> pa.Table:
        """As ``//batch:infer`` writes them."""
        decision = np.select([self.score > 0.7, self.score > 0.2], ["decline", "review"], "approve")
        rows = self.transactions()
        rows = rows.append_column("score", pa.array(self.score))
        rows = rows.append_column("decision", pa.array(decision))
        rows = rows.append_column("model", pa.array(["fraud"] * len(self.time)))
        return rows.append_column("version", pa.array(np.full(len(self.time), version)))

    def log(self) -> pa.Table:
        """As the service logs its decisions: without customers and amounts, ids as text."""
        rows = self.scores()
        n_rows = rows.num_rows
        ids = rows["transaction_id"].cast(pa.string())
        rows = rows.drop_columns(["customer_id", "amount"]).set_column(0, "transaction_id", ids)
        rows = rows.append_column("scored_at", rows["timestamp"])
        rows = rows.append_column("features_hash", pa.array(["0" * 16] * n_rows))
        return rows.append_column("degraded", pa.array([False] * n_rows))


def world(*, seed: int = 0) -> World:
    """Payments of which 3 % are frauds, with scores that are their chances of it."""
    rng = np.random.default_rng(seed)
    n = N_DAYS * PAYMENTS_A_DAY
    second = np.sort(rng.integers(0, N_DAYS * 86_400, n))
    suspicious = rng.random(n) < 0.035
    chance = np.where(suspicious, rng.beta(4, 1, n), rng.beta(0.3, 60, n))
    return World(
        time=np.datetime64("2018-06-01", "us") + second.astype("timedelta64[s]"),
        customer=rng.integers(0, 300, n),
        amount=np.round(rng.gamma(2, 30, n), 2),
        is_fraud=rng.random(n) < chance,
        score=np.round(chance, 6),
    )


def shifted(given: World, start: dt.datetime, end: dt.datetime, **changes: float) -> World:
    """The world with its ``amount`` or ``score`` multiplied during a time."""
    rows = given.during(start, end)
    columns = {}
    for name, factor in changes.items():
        values = getattr(given, name).copy()
        values[rows] = values[rows] * factor
        columns[name] = np.clip(values, 0, 1) if name == "score" else values
    return replace(given, **columns)  # type: ignore[arg-type]


def shuffled(given: World, start: dt.datetime, end: dt.datetime) -> World:
    """The world with scores that say nothing during a time, though distributed as before."""
    rows = np.flatnonzero(given.during(start, end))
    score = given.score.copy()
    score[rows] = score[np.random.default_rng(5).permutation(rows)]
    return replace(given, score=score)


def store_model(home: Path, given: World, *, lineage: dict[str, str] | None = None) -> None:
    """Stores the next version of the model, whose reference is the first three weeks."""
    rows = given.transactions()
    nothing = given.labels().slice(0, 0)
    features = feature_matrix(compute_features(rows, nothing, SPEC))
    before = given.during(START + dt.timedelta(days=1), DRIFT_FROM)
    score = given.score[before].astype(np.float32)
    artifact = Artifact(
        net=FraudNet(SPEC.categories, ModelConfig(n_groups=2, width=4, n_layers=1)).eval(),
        spec=SPEC,
        seed=0,
        metrics={"ap": average_precision(given.is_fraud, given.score), "cp100": 0.12},
        lineage={"commit": "abc"} if lineage is None else lineage,
        reference=fit_reference(features[before], score, SPEC.names),
    )
    ModelStore(home / "models").publish("fraud", lambda folder: save_artifact(folder, artifact))


def write(folder: Path, given: World) -> dict[str, str]:
    """Scores, labels and transactions as Parquet files; their paths by option."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "--scores": given.scores(),
        "--labels": given.labels(),
        "--transactions": given.transactions(),
    }
    paths = {option: str(folder / f"{option.strip('-')}.parquet") for option in tables}
    for option, table in tables.items():
        data_connector.load(table, paths[option], if_exists="replace")
    return paths
