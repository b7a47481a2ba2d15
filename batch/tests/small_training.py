"""A training small enough for a test, and the command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from fraud_ml.scenario import Population, Scenario

TRAIN_START = "2018-05-05"  # 7 + 7 + 7 days from here end with the simulation
QUICK = ("--max-epochs", "2")
SMALL = Scenario(
    n_days=55, seed=1, population=Population(n_customers=800, n_terminals=2_000, radius=8)
)


def train_command(*arguments: str) -> list[str]:
    """The command line of a training process."""
    return [sys.executable, "-m", "batch_proc.train", *QUICK, *arguments]


def environment(**more: str) -> Mapping[str, str]:
    """This process's environment and more."""
    return os.environ | more


def run_train(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A training that has ended."""
    return subprocess.run(
        train_command(*arguments),
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
