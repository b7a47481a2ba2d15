"""Processes that train together: `run_together` starts them, and each runs a function of here."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from fraud_ml.errors import DataError
from fraud_ml.model import ModelConfig
from fraud_ml.training import Epoch, TrainedModel, TrainingConfig, train_model

N_PROCESSES = 3  # the fewest that can add up in different orders
N_ROWS = 2_003  # batches do not divide evenly


def sample(n: int = N_ROWS):
    """Features (two numbers, a category), frauds and customers."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n, 2))
    country = rng.integers(0, 5, n)
    features = np.column_stack((numbers, country)).astype(np.float32)
    is_fraud = (numbers[:, 0] + (country == 3) + rng.normal(size=n) * 0.7) > 2.2
    return features, is_fraud, rng.integers(0, 150, n)


def train(group=None, *, dropout: float = 0.1, seed: int = 0, **others) -> TrainedModel:
    """The training of all tests: four epochs."""
    torch.set_num_threads(1)
    features, is_fraud, customers = sample()
    return train_model(
        features,
        is_fraud,
        customers=customers,
        feature_names=("a", "b", "country"),
        categories=(False, False, True),
        model_config=ModelConfig(
            n_groups=2, n_members=2, embedding=4, width=16, dropout=dropout, max_categories=8
        ),
        training_config=TrainingConfig(max_epochs=4, min_batches=12, peak_learning_rate=0.02),
        seed=seed,
        group=group,
        **others,
    )


def result(model: TrainedModel) -> dict[str, object]:
    """What a test compares, as torch saves it."""
    epochs = [(it.number, it.loss, it.validation_average_precision) for it in model.epochs]
    scores = torch.from_numpy(model.out_of_fold_scores)
    return {"weights": dict(model.net.state_dict()), "epochs": epochs, "scores": scores}


def error_of(act) -> str:
    """The message of the DataError that ``act`` raises."""
    try:
        act()
    except DataError as error:
        return str(error)
    return "no error"


def several(group, folder: Path):
    """Trainings of the same processes, one after another."""
    alone = folder / f"alone-{dist.get_rank(group)}.pt"

    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train(checkpoint=alone, on_epoch=stop)  # alone: without the group
    damaged = folder / "damaged.pt"
    damaged.write_bytes(b"not a checkpoint")
    return {
        "first": result(train(group)),
        "other seed": result(train(group, seed=1)),
        "no dropout": result(train(group, dropout=0.0)),
        "of one process": error_of(lambda: train(group, checkpoint=folder / "alone-0.pt")),
        "damaged": error_of(lambda: train(group, checkpoint=damaged)),
        "kept": result(train(group, checkpoint=folder / "kept.pt")),
    }


def killed(group, folder: Path):
    """Training that every process is killed in, after its second epoch."""

    def die(epoch: Epoch) -> None:
        if epoch.number == 2:
            dist.barrier(group)
            os.kill(os.getpid(), signal.SIGKILL)

    train(group, checkpoint=folder / "training.pt", on_epoch=die)


def resumed(group, folder: Path):
    """The same, undisturbed; and which epochs it reported."""
    seen: list[int] = []
    model = train(
        group,
        checkpoint=folder / "training.pt",
        on_epoch=lambda epoch: seen.append(epoch.number),
    )
    return result(model) | {"seen": seen}


def run_together(function: str, folder: Path) -> tuple[list[int | None], list]:
    """Runs a function of this module in three processes; exit codes, and what each returned."""
    (folder / "store").unlink(missing_ok=True)
    # Forked from a process that has imported torch, and done nothing with it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["together"])
    processes = [
        context.Process(target=_work, args=(function, folder, rank)) for rank in range(N_PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [folder / f"{function}-{rank}.pt" for rank in range(N_PROCESSES)]
    return [it.exitcode for it in processes], [torch.load(path) for path in found if path.exists()]


def _work(function: str, folder: Path, rank: int) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=N_PROCESSES
    )
    torch.save(globals()[function](dist.group.WORLD, folder), folder / f"{function}-{rank}.pt")
    dist.destroy_process_group()
