"""From a history to scores in a folder: our job and the peer's, each run in its own process.

As a program, `whole_jobs.py NAME HISTORY MODEL FOLDER` does one and prints, as JSON, the seconds
that it took, without those in which Spark started, and the bytes that went from stage to stage.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import spark_peer
from pyspark.sql import SparkSession

from batch_proc.infer import infer
from batch_proc.infer_options import InferOptions
from batch_proc.progress import Stages
from batch_proc.spark_session import spark_session

OURS, PEER = "ours", "Spark windows, pandas_udf"
CORES = 2

Job = Callable[[SparkSession, Sequence[Path], Path, Path], int]
"""Scores a history, and says how many bytes were exchanged."""


def ours(session: SparkSession, files: Sequence[Path], model: Path, output: Path) -> int:  # noqa: ARG001
    """`//batch:infer`, in the session of the process; its tasks leave files for the next stage."""
    (folder,) = {file.parent for file in files}  # all files of it
    options = InferOptions(input=str(folder), output=str(output), model=str(model))
    done = infer(options, output.with_name("home"), Stages())
    (exchanged,) = (int(it.value) for it in done.measures if it.name == "exchanged")
    return exchanged


def peers(session: SparkSession, files: Sequence[Path], model: Path, output: Path) -> int:
    """As a Spark user would write it."""
    spark_peer.score_history(session, files, model, output)
    return exchanged_bytes(session)


JOBS: dict[str, Job] = {OURS: ours, PEER: peers}


def exchanged_bytes(session: SparkSession) -> int:
    """What Spark wrote for its exchanges so far."""
    store = session.sparkContext._jsc.sc().statusStore()
    executors = store.executorList(False)  # noqa: FBT003 - Java's
    return sum(executors.apply(at).totalShuffleWrite() for at in range(executors.size()))


def main() -> None:
    """One job, measured, on standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=JOBS)
    parser.add_argument("history", type=Path, help="folder of Parquet files")
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path, help="where the output goes, and what spills")
    parser.add_argument("--files", type=int, help="only so many of the first (the peer's)")
    given = parser.parse_args()
    files = sorted(given.history.iterdir())[: given.files]
    spark = spark_session(
        given.folder / "spark", master=f"local[{CORES}]", for_rows=given.name == PEER
    )
    with spark as session:
        started = time.perf_counter()
        exchanged = JOBS[given.name](session, files, given.model, given.folder / "scores")
        seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps({"seconds": seconds, "exchanged": exchanged}))


if __name__ == "__main__":
    main()
