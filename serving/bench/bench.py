"""`./bazelw run //serving:bench`: how fast payments are scored, beside other servers."""

from __future__ import annotations

from serving_bench import bench_serving

from tools.bench.harness import Result, main


def benchmark(is_quick: bool) -> list[Result]:  # noqa: FBT001 (the harness gives it by position)
    """All results."""
    return bench_serving(quick=is_quick)


if __name__ == "__main__":
    main(benchmark, description="Our server against a plain TorchServe, FastAPI and LitServe.")
