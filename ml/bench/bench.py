"""`./bazelw run //ml:bench`: how fast features, training and scoring are, beside their peers."""

from __future__ import annotations

from feature_bench import bench_features
from model_bench import bench_model
from state_bench import bench_state

from tools.bench.harness import Result, main


def benchmark(is_quick: bool) -> list[Result]:  # noqa: FBT001 (the harness gives it by position)
    """All results."""
    return [
        *bench_features(quick=is_quick),
        *bench_state(quick=is_quick),
        *bench_model(quick=is_quick),
    ]


if __name__ == "__main__":
    main(
        benchmark,
        description=(
            "Features against pandas, DuckDB, Polars, SQLite; the model against LightGBM."
        ),
    )
