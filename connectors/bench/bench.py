"""`./bazelw run //connectors:bench`: how fast rows come and go, beside the peers."""

from __future__ import annotations

from feature_store_bench import bench_feature_store
from fetch_bench import bench_fetch
from load_bench import bench_load

from tools.bench.harness import Result, main
from tools.servers.postgresql import postgresql_running


def benchmark(is_quick: bool) -> list[Result]:  # noqa: FBT001 (the harness gives it by position)
    """All results."""
    results = bench_fetch(quick=is_quick)
    with postgresql_running("password") as server:
        url = server.url.render_as_string(hide_password=False)
        results += bench_load(url=url, quick=is_quick)
    return [*results, *bench_feature_store(quick=is_quick)]


if __name__ == "__main__":
    main(benchmark, description="Fetching, loading and the feature store, against their peers.")
