"""One of several processes that train together."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from batch_proc.worker_output import tell_epoch
from fraud_ml.errors import DataError
from fraud_ml.training import TrainedModel, train_model

_PR_SET_PDEATHSIG = 1  # of Linux's prctl


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all of them do."""

    folder: Path
    """With the rows: `features.npy`, `is_fraud.npy`, `customers.npy`."""
    settings: dict[str, Any]
    """More arguments of :func:`fraud_ml.training.train_model`."""


def train_as_worker(job: Job) -> TrainedModel | Exception:
    """The model, or what is wrong with the data or the checkpoint; the same in every process.

    Runs where torchrun says in the environment which process this is. Of those of one machine, only
    the first returns: all would write what they return to one file, at once.
    """
    # Whatever ends torchrun ends this process, which would else go on, and write checkpoints.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    gpu = torch.cuda.is_available()
    number_here = int(os.environ["LOCAL_RANK"])
    if gpu:
        torch.cuda.set_device(number_here)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        outcome = _outcome(job)
    finally:
        dist.destroy_process_group()
    if number_here:
        sys.exit(0)
    return outcome


def _outcome(job: Job) -> TrainedModel | Exception:
    rows = {
        name: np.load(_found(job.folder / f"{name}.npy"), mmap_mode="r", allow_pickle=False)
        for name in ("features", "is_fraud", "customers")
    }
    try:
        return train_model(
            rows["features"],
            rows["is_fraud"],
            customers=rows["customers"],
            group=dist.group.WORLD,
            on_epoch=tell_epoch if dist.get_rank() == 0 else None,
            **job.settings,
        )
    except (DataError, OSError) as error:  # all processes have it
        return error


def _found(path: Path) -> Path:
    """The file, or Spark's copy of it in the folder in which an executor runs."""
    return path if path.exists() else Path(path.name)
