"""Contenders that learn nothing, at once or never, for searches in other processes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping

import numpy as np
import optuna

from batch_proc.fold import Rows
from experiments.contenders import Contender, Score, Settings


class Noisy:
    """A contender whose quality is its one setting."""

    def __init__(self) -> None:
        self.tried: list[float] = []
        self.contender = Contender("it", self.fit, suggest, start={"quality": 1.0})

    def fit(self, rows: Rows, settings: Settings, seed: int) -> Score:
        assert seed == 0
        self.tried.append(settings["quality"])
        noise = np.random.default_rng(0).normal(size=len(rows))
        return lambda features: settings["quality"] * features[:, 0] + noise


def suggest(trial: optuna.trial.BaseTrial) -> Mapping[str, float]:
    return {"quality": trial.suggest_float("quality", 0, 2)}


def fit_at_once(rows: Rows, settings: Settings, seed: int) -> Score:
    """Knows nothing."""
    del rows, settings, seed
    return lambda features: features[:, 0]


AT_ONCE = Contender("it", fit_at_once, suggest, start={"quality": 1.0})


def fit_without_end(rows: Rows, settings: Settings, seed: int) -> Score:
    """Says so on standard output, and goes on until its process is killed."""
    sys.stdout.write("fits\n")
    sys.stdout.flush()
    threading.Event().wait()
    raise AssertionError


ENDLESS = Contender("it", fit_without_end, suggest, start={"quality": 1.0})
