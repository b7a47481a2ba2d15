"""How fast features are computed: ours against pandas, DuckDB and Polars, the same features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import default_polars
import handbook_duckdb
import handbook_pandas
import handbook_polars
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from fraud_ml.default_specs import DEFAULT_SPEC, HANDBOOK_SPEC
from fraud_ml.feature_spec import FeatureSpec, WindowFeature
from fraud_ml.features import compute_features
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import Simulation, simulate
from tools.bench.harness import Result, in_turn, say

Columns = dict[str, npt.NDArray[np.float64]]
WINDOWS = FeatureSpec(
    features=tuple(f for f in HANDBOOK_SPEC.features if isinstance(f, WindowFeature))
)
TOLERATED = 1e-3  # share of rows: in those that tie in time, engines order differently


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """The same features computed by us and by a peer."""

    name: str
    peer: str
    spec: FeatureSpec
    prepare: Callable[[pa.Table], Callable[[], Columns]]
    """Takes transactions with `is_fraud`; what it returns is measured."""
    is_slow: bool = False
    """Measured on less: all rows would take the peer minutes a round."""


def bench_features(*, quick: bool) -> list[Result]:
    """Our rows/s, and how many times that is each peer's."""
    small = simulate(
        Scenario(n_days=60, population=Population(n_customers=500, n_terminals=1_000, radius=15))
    )
    large = small if quick else simulate(Scenario())
    results = []
    for contest in CONTESTS:
        data = small if contest.is_slow else large
        compute = contest.prepare(with_labels(data))
        check_equal(contest, data, compute())
        n_rows = data.transactions.num_rows
        say(f"{contest.name}: {n_rows:,} transactions against {contest.peer}")
        seconds = in_turn(
            {"ours": partial(ours, data, contest.spec), contest.peer: compute},
            rounds=1 if quick and contest.is_slow else 3,
        )
        results.append(
            Result(
                name=contest.name,
                value=n_rows / seconds["ours"],
                unit="rows/s",
                peer=contest.peer,
                ratio=seconds[contest.peer] / seconds["ours"],
            )
        )
    return results


def with_labels(data: Simulation) -> pa.Table:
    """The transactions, with `is_fraud`."""
    return data.transactions.append_column("is_fraud", data.labels["is_fraud"])


def ours(data: Simulation, spec: FeatureSpec) -> pa.Table:
    """Our own computation of the same features."""
    return compute_features(data.transactions, data.labels, spec)


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


def _polars(
    compute_frame: Callable[[pl.DataFrame], pl.DataFrame],
) -> Callable[[pa.Table], Callable[[], Columns]]:
    def prepare(payments: pa.Table) -> Callable[[], Columns]:
        frame = pl.DataFrame(pl.from_arrow(payments))

        def compute() -> Columns:
            computed = compute_frame(frame)
            return {name: computed[name].to_numpy() for name in computed.columns}

        return compute

    return prepare


CONTESTS = (
    Contest(name="features_vs_pandas", peer="pandas", spec=WINDOWS, prepare=_pandas, is_slow=True),
    Contest(name="features_vs_duckdb", peer="duckdb", spec=WINDOWS, prepare=_duckdb),
    Contest(
        name="features_vs_polars",
        peer="polars",
        spec=WINDOWS,
        prepare=_polars(handbook_polars.compute),
    ),
    Contest(
        name="features_default_spec",
        peer="polars",
        spec=DEFAULT_SPEC,
        prepare=_polars(default_polars.compute),
    ),
)


def check_equal(contest: Contest, data: Simulation, theirs: Columns) -> None:
    """Raises where a peer computes something else than we: then it is no peer."""
    computed = ours(data, contest.spec)
    for name in contest.spec.names:
        close = np.abs(computed[name].to_numpy() - theirs[name]) <= 1e-6  # NaN is not
        if (~close).mean() > TOLERATED:
            raise AssertionError(
                f"{contest.peer} differs from us in {name}: {(~close).mean():.2%} of rows"
            )
