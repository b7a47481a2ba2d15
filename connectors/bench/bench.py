"""`./bazelw run //connectors:bench`: how fast rows come and go, beside the peers."""

from __future__ import annotations

from fetch_bench import bench_fetch

from tools.bench.harness import Result, main


def benchmark(is_quick: bool) -> list[Result]:  # noqa: FBT001 (the harness gives it by position)
    """All results."""
    return [*bench_fetch(quick=is_quick)]


if __name__ == "__main__":
    main(benchmark, description="Fetching against pandas, ConnectorX, Polars and ADBC.")
