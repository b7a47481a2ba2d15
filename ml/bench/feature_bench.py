"""How fast features are computed: ours against pandas, DuckDB and Polars, the same 12 windows."""

from __future__ import annotations

from collections.abc import Callable

import handbook_duckdb
import handbook_pandas
import handbook_polars
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from fraud_ml.feature_spec import HANDBOOK_SPEC, FeatureSpec, WindowFeature
from fraud_ml.features import compute_features
from fraud_ml.simulator import Simulation, SimulatorConfig, simulate
from tools.bench.harness import Result, in_turn, say

WINDOWS = FeatureSpec(
    features=tuple(f for f in HANDBOOK_SPEC.features if isinstance(f, WindowFeature))
)
TOLERATED = 1e-3  # share of rows: in those that tie in time, engines order differently


def bench_features(*, quick: bool) -> list[Result]:
    """Our rows/s, and how many times that is each peer's."""
    # pandas alone is measured on less: all rows would take it minutes a round.
    small = simulate(SimulatorConfig(n_customers=500, n_terminals=1_000, radius=15, n_days=60))
    large = small if quick else simulate(SimulatorConfig())
    results = []
    for peer, data, rounds in (
        ("pandas", small, 1 if quick else 3),
        ("duckdb", large, 3),
        ("polars", large, 3),
    ):
        payments = data.transactions.append_column("is_fraud", data.labels["is_fraud"])
        compute = PEERS[peer](payments)
        check_equal(peer, data, compute())
        n_rows = payments.num_rows
        say(f"features of {n_rows:,} transactions against {peer}")
        seconds = in_turn({"ours": lambda data=data: ours(data), peer: compute}, rounds=rounds)
        results.append(
            Result(
                name=f"features_vs_{peer}",
                value=n_rows / seconds["ours"],
                unit="rows/s",
                peer=peer,
                ratio=seconds[peer] / seconds["ours"],
            )
        )
    return results


def ours(data: Simulation) -> pa.Table:
    """Our own computation of the same features."""
    return compute_features(data.transactions, data.labels, WINDOWS)


def _pandas(payments: pa.Table) -> Callable[[], Columns]:
    frame = payments.to_pandas()

    def compute() -> Columns:
        computed = handbook_pandas.compute(frame).sort_index()
        return {name: computed[name].to_numpy() for name in WINDOWS.names}

    return compute


def _duckdb(payments: pa.Table) -> Callable[[], Columns]:
    def compute() -> Columns:
        computed = handbook_duckdb.compute(payments)
        order = np.argsort(computed["transaction_id"].to_numpy())
        return {name: computed[name].to_numpy()[order] for name in WINDOWS.names}

    return compute


def _polars(payments: pa.Table) -> Callable[[], Columns]:
    frame = pl.DataFrame(pl.from_arrow(payments))

    def compute() -> Columns:
        computed = handbook_polars.compute(frame)
        return {name: computed[name].to_numpy() for name in WINDOWS.names}

    return compute


Columns = dict[str, npt.NDArray[np.float64]]
PEERS: dict[str, Callable[[pa.Table], Callable[[], Columns]]] = {
    "pandas": _pandas,
    "duckdb": _duckdb,
    "polars": _polars,
}


def check_equal(peer: str, data: Simulation, theirs: Columns) -> None:
    """Raises where a peer computes something else than we: then it is no peer."""
    computed = ours(data)
    for name in WINDOWS.names:
        difference = np.abs(computed[name].to_numpy() - theirs[name]) > 1e-6
        if difference.mean() > TOLERATED:
            raise AssertionError(
                f"{peer} differs from us in {name}: {difference.mean():.2%} of rows"
            )
