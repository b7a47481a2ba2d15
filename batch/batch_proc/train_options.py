"""The command line of `//batch:train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batch_proc.data_options import (
    DATA_HELP,
    DataOptions,
    add_data_options,
    at_least,
    check_folder,
    data_options,
)
from batch_proc.distributed_training import Workers
from batch_proc.train_config import TrainConfig, read_train_config
from data_connector.command import UsageError
from fraud_ml.training import TrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """What to train on, how, and where to put the numbers."""

    data: DataOptions
    config: TrainConfig
    seed: int
    checkpoint: Path | None
    """Where the training keeps its state; None: nowhere."""
    workers: Workers
    promote: bool
    """Whether the model becomes the champion where it is better."""
    json_path: Path | None


def parse_train_options(arguments: Sequence[str] | None = None) -> TrainOptions:
    """The options on the command line; `--help` and wrong ones exit, with 0 and 2.

    Raises:
        UsageError: the options are well formed, but what they name cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="./bazelw run //batch:train --",
        description="Train a fraud model, test it on the days after, and store it.",
        epilog=DATA_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_data_options(parser)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of the model's shape ([model]) and of its training ([training]), as"
        " //research:search writes it; what it does not say is the library's default",
    )
    training.add_argument(
        "--max-epochs",
        type=at_least(1),
        metavar="N",
        help="passes over the rows, unless quality stops rising before (default: what --config"
        f" says, or {TrainingConfig().max_epochs})",
    )
    training.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="of the weights and the order of rows; the same seed, the same model (default: 0)",
    )
    training.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="keep the training's state there after each epoch, and go on from it where it is"
        " there; a finished training removes it (default: none)",
    )
    training.add_argument(
        "--workers",
        type=at_least(1),
        default=1,
        metavar="N",
        help="processes that train together, started by Spark (default: 1, without Spark)",
    )
    training.add_argument(
        "--master",
        metavar="URL",
        help="Spark's, where --workers run (default: this machine)",
    )
    parser.add_argument(
        "--promote",
        choices=("auto", "never"),
        default="auto",
        help="whether the model becomes the champion: where there is none, or it is better beyond"
        " chance on this test; else it is the challenger (default: auto)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="PATH", help="also write the numbers, as name, value, unit"
    )
    given = parser.parse_args(arguments)
    check_folder("--json", given.json)
    check_folder("--checkpoint", given.checkpoint)
    if given.master is not None and given.workers == 1:
        raise UsageError("--master says where --workers run, of which there is 1: this process")
    config = read_train_config(given.config) if given.config else TrainConfig()
    if given.max_epochs is not None:
        shorter = replace(config.training, max_epochs=given.max_epochs)
        config = replace(config, training=shorter)
    return TrainOptions(
        data=data_options(given),
        config=config,
        seed=given.seed,
        checkpoint=given.checkpoint,
        workers=Workers(number=given.workers, master=given.master or "local"),
        promote=given.promote == "auto",
        json_path=given.json,
    )
