"""How fast ready features are scored: our tasks, Spark's `predict_batch_udf`, torch by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyspark import Broadcast
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import FloatType
from simulated_history import first_files, rows_in
from whole_jobs import CORES

from batch_proc.scoring import PackedModel, loaded_scorer, pack_model
from batch_proc.spark_session import spark_session
from fraud_ml.artifact import load_artifact
from tools.bench.harness import Result, in_turn, say

DOCUMENTED = "predict_batch_udf as documented"
PREDICT_BATCH = "predict_batch_udf, tuned"
TORCH = "torch without Spark"
PREDICT_BATCH_ROWS = 2_000_000  # of the peers, whose rows a second do not depend on more
DOCUMENTED_BATCH = 100  # rows of a batch in the examples of its documentation
TUNED_BATCH = 4_096
TORCH_ROWS = 1_000_000
TORCH_BATCH = 8_192

Matrix = npt.NDArray[np.float32]


def bench_score(files: Sequence[Path], model: Path, scratch: Path, *, rounds: int) -> list[Result]:
    """Our rows a second, and how many times those of each peer they are, by the row.

    All have two cores and the same net. Ours and `predict_batch_udf` read the features from
    Parquet and drop the scores, in one Spark session with Python workers that live on. That peer
    is there twice: as its documentation shows it, and as who measures would use it. Torch has
    its features ready in memory, and no Spark around it: the most that the cores can do.

    Args:
        files: of features.
        model: the artifact's folder.
        scratch: for what Spark spills.
        rounds: after one to warm up.
    """
    few = list(first_files(files, PREDICT_BATCH_ROWS))
    names = pq.read_schema(files[0]).names
    matrix = read_matrix(files[0], TORCH_ROWS)
    numbers = {"ours": rows_in(files), TORCH: len(matrix)}
    numbers |= dict.fromkeys((DOCUMENTED, PREDICT_BATCH), rows_in(few))
    say(f"scoring {numbers['ours']:,} rows of {len(names)} ready features")
    with spark_session(scratch, master=f"local[{CORES}]", for_rows=True) as session:
        contenders: dict[str, Callable[[], object]] = {
            "ours": lambda: consume(ours(session, files, model)),
            DOCUMENTED: lambda: consume(predict_batch(session, few, model, DOCUMENTED_BATCH)),
            PREDICT_BATCH: lambda: consume(predict_batch(session, few, model, TUNED_BATCH)),
            TORCH: lambda: torch_alone(matrix, model),
        }
        seconds = in_turn(contenders, rounds=rounds)
    speed = {who: numbers[who] / seconds[who] for who in contenders}
    for who, it in speed.items():
        say(f"  {who}: {it:,.0f} rows/s, {numbers[who]:,} rows")
    return [
        Result(
            name=name,
            value=speed["ours"],
            unit="rows/s",
            peer=peer,
            ratio=speed["ours"] / speed[peer],
        )
        for name, peer in (
            ("score", DOCUMENTED),
            ("score_vs_tuned", PREDICT_BATCH),
            ("score_vs_torch", TORCH),
        )
    ]


def consume(scores: DataFrame) -> None:
    """Computes all scores and keeps none."""
    scores.write.format("noop").mode("overwrite").save()


@dataclass(frozen=True, slots=True)
class ArrowScoring:
    """What our tasks do with features: `batch_proc.scoring` in `mapInArrow`."""

    packed: Broadcast[PackedModel]
    checksum: str

    def run(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The scores of batches that have a column a feature."""
        scorer = loaded_scorer(lambda: self.packed.value, self.checksum)
        for batch in batches:
            matrix = np.empty((batch.num_rows, batch.num_columns), dtype=np.float32)
            for at, column in enumerate(batch.columns):
                matrix[:, at] = column.to_numpy()
            yield pa.record_batch([pa.array(scorer.score(matrix))], ["score"])


def ours(session: SparkSession, files: Sequence[Path], model: Path) -> DataFrame:
    """A column `score`."""
    packed = pack_model(load_artifact(model))
    scoring = ArrowScoring(session.sparkContext.broadcast(packed), packed.checksum)
    rows = session.read.parquet(*map(str, files))
    return rows.mapInArrow(scoring.run, "score float")


def predict_batch(
    session: SparkSession, files: Sequence[Path], model: Path, batch_size: int
) -> DataFrame:
    """A column `score`, as the documentation of `predict_batch_udf` shows it for such features.

    With one thread a worker, which its users find out: more threads than cores take longer.
    """

    def make_predict() -> Callable[[Matrix], Matrix]:
        torch.set_num_threads(1)
        net = load_artifact(model).net

        def predict(inputs: Matrix) -> Matrix:
            with torch.inference_mode():
                return net.score(torch.from_numpy(inputs)).numpy()

        return predict

    rows = session.read.parquet(*map(str, files))
    score = predict_batch_udf(
        make_predict,
        return_type=FloatType(),
        batch_size=batch_size,
        input_tensor_shapes=[[len(rows.columns)]],
    )
    return rows.select(score(sf.array(*rows.columns)).alias("score"))


def torch_alone(matrix: Matrix, model: Path) -> Matrix:
    """The scores of features that are in memory, shape ``(N, F)``, on all threads."""
    torch.set_num_threads(CORES)
    net = load_artifact(model).net
    with torch.inference_mode():
        parts = torch.split(torch.from_numpy(matrix), TORCH_BATCH)
        scores: Matrix = torch.cat([net.score(part) for part in parts]).numpy()
    return scores


def read_matrix(file: Path, most: int) -> Matrix:
    """The first rows of a file of features: shape ``(N, F)``."""
    rows = pq.read_table(file).slice(0, most)
    return np.column_stack([column.to_numpy() for column in rows.columns])
