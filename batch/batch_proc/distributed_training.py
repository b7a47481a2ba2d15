"""Training on as many processes as the user wants; several are started by Spark.

Spark's `TorchDistributor` starts them: on this machine, where its master is a local one, through
torchrun; else one in each task of a barrier stage. Rows reach them as files, which they map into
memory: where they lie, on this machine; copied by Spark once for each executor, on a cluster.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from batch_proc.errors import WorkersError
from batch_proc.training_worker import Job, train_as_worker
from batch_proc.worker_output import WorkerOutput, watched
from fraud_ml.model import ModelConfig
from fraud_ml.training import Epoch, TrainedModel, TrainingConfig, train_model

# Bazel gives it relative to where a program starts; commands go elsewhere.
_JAVA_HOME = Path(os.environ["JAVA_HOME"]).absolute() if "JAVA_HOME" in os.environ else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """How many processes train, and where."""

    number: int = 1
    master: str = "local"
    """Spark's: `local` for this machine, or a cluster's URL."""

    @property
    def are_here(self) -> bool:
        """Whether they run on this machine."""
        return self.master == "local" or self.master.startswith("local[")


def train_on(
    workers: Workers,
    features: npt.NDArray[np.float32],
    is_fraud: npt.NDArray[np.bool_],
    *,
    customers: npt.NDArray[np.integer],
    feature_names: Sequence[str],
    categories: Sequence[bool],
    model_config: ModelConfig,
    training_config: TrainingConfig,
    seed: int,
    on_epoch: Callable[[Epoch], None],
    checkpoint: Path | None,
) -> TrainedModel:
    """The model that :func:`fraud_ml.training.train_model` makes of the same arguments.

    One worker is this process, and knows nothing of Spark.

    Raises:
        DataError: as :func:`fraud_ml.training.train_model`.
        OSError: the checkpoint cannot be written.
        WorkersError: Spark could not start the workers, or one of them ended early. None is left.
    """
    settings: dict[str, Any] = {
        "feature_names": tuple(feature_names),
        "categories": tuple(categories),
        "model_config": model_config,
        "training_config": training_config,
        "seed": seed,
        "checkpoint": None if checkpoint is None else checkpoint.absolute(),
    }
    if workers.number == 1:
        return train_model(features, is_fraud, customers=customers, on_epoch=on_epoch, **settings)
    rows = {"features": features, "is_fraud": is_fraud, "customers": customers}
    with tempfile.TemporaryDirectory(prefix="fraud-train-") as name:
        folder = Path(name)
        for what, array in rows.items():
            np.save(folder / f"{what}.npy", array, allow_pickle=False)
        outcome = _run(workers, Job(folder=folder, settings=settings), on_epoch)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _run(workers: Workers, job: Job, on_epoch: Callable[[Epoch], None]) -> TrainedModel | Exception:
    from batch_proc.training_session import training_session  # Spark takes a second to import

    with watched(on_epoch, also_errors=not workers.are_here) as output:
        try:
            with training_session(
                workers.number, workers.master, folder=job.folder, java_home=_JAVA_HOME
            ) as distributor:
                outcome = distributor.run(train_as_worker, job)
        except WorkersError:
            raise
        except Exception as error:  # Spark has no common class for what it raises
            raise WorkersError(_why(error, output, job.settings["checkpoint"])) from error
    return cast(TrainedModel | Exception, outcome)


def _why(error: Exception, output: WorkerOutput, checkpoint: Path | None) -> str:
    """What happened, and what to do, for the user."""
    again = (
        f"run the same command again to go on from {checkpoint}"
        if checkpoint
        else "run the command again (with --checkpoint FILE, a training goes on where it was)"
    )
    said = "\n".join(f"  {line}" for line in output.tail) or f"  {error}"
    return (
        "a training process ended before the training did; the others were stopped, and nothing was"
        f" stored: {again}. The last that they said:\n{said}"
    )
