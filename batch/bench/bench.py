"""`./bazelw run //batch:bench`: how fast a history is scored, beside what Spark users write."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench_model import store_bench_model
from job_bench import bench_jobs
from score_bench import bench_score
from simulated_history import bytes_in, first_files, write_features, write_history
from whole_jobs import CORES

from fraud_ml.default_specs import DEFAULT_SPEC, HANDBOOK_SPEC
from tools.bench.harness import Result, bench_parser, parsed, say, show

ROWS = 10_000_000
QUICK_ROWS = 20_000

# `bazel run` says where Java and our packages are relative to where the command starts.
if "JAVA_HOME" in os.environ:
    os.environ["JAVA_HOME"] = str(Path(os.environ["JAVA_HOME"]).absolute())


def benchmark(n_rows: int, folder: Path, *, quick: bool, rounds: int) -> list[Result]:
    """All results.

    Args:
        n_rows: of the history.
        folder: for all that is written.
        quick: only the handbook's features.
        rounds: in each of which all run in turn.
    """
    say(f"{n_rows:,} transactions into {folder}")
    history, features = folder / "history", folder / "features"
    history.mkdir()
    features.mkdir()
    files = write_history(history, n_rows)
    specs = (HANDBOOK_SPEC,) if quick else (HANDBOOK_SPEC, DEFAULT_SPEC)
    ready = write_features(list(first_files(files, ROWS)), specs[-1], features)
    models = [store_bench_model(folder, spec) for spec in specs]
    return [
        Result(name="rows", value=n_rows, unit="rows"),
        Result(name="cores", value=CORES, unit="cores"),
        Result(name="history_bytes", value=bytes_in(files) / n_rows, unit="bytes/row"),
        *bench_score(ready, models[-1], folder / "spark", rounds=rounds),
        *bench_jobs(files, *models, rounds=rounds),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("Scoring a history on two cores, against predict_batch_udf, torch, and"
                          " Spark's window functions with a pandas_udf.")  # fmt: skip
    parser.add_argument(
        "--rows",
        type=int,
        metavar="N",
        help=f"of the history (default: {ROWS:,}; with --quick {QUICK_ROWS:,})",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="of which the median counts (default: 3; with --quick 1)",
    )
    return parser


def main() -> None:
    """Measures as the command line says, on two cores."""
    parser = _parser()
    given = parsed(parser)
    for name in ("rows", "rounds"):
        number = getattr(given, name)
        if number is not None and number < 1:
            parser.error(f"--{name} must be at least 1, got {number}")
    # Nothing of it, of Spark or of a library, may run elsewhere; children inherit it.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory(prefix="batch_bench") as folder:
        n_rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
        rounds = given.rounds or (1 if given.quick else 3)
        results = benchmark(n_rows, Path(folder), quick=given.quick, rounds=rounds)
    show(results, given.json)


if __name__ == "__main__":
    main()
