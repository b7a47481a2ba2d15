"""A random search for settings: the same number of trials for every model."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from batch_proc.fold import Fold
from experiments.contenders import Contender, Settings
from fraud_ml.metrics import average_precision


@dataclass(frozen=True, slots=True)
class Trial:
    """How far a search is."""

    number: int
    """1, 2, ..."""
    best: float
    """The highest mean average precision so far."""
    settings: Settings
    """Which reached it."""


def search(contender: Contender, folds: Sequence[Fold], *, trials: int) -> Iterator[Trial]:
    """Searches the settings with the highest mean average precision over ``folds``.

    The first trial is the contender's start, the others are drawn at random, the same ones on
    every run. Every trial trains once a fold, with seed 0.

    Args:
        contender: whose settings.
        folds: for validation; what is tested later must not be among them.
        trials: at least 1.

    Yields:
        The state after each trial.
    """
    random = np.random.default_rng(zlib.crc32(contender.name.encode()))
    best, chosen = -1.0, contender.start
    for number in range(1, trials + 1):
        settings = contender.start if number == 1 else contender.sample(random)
        reached = float(np.mean([_average_precision(contender, fold, settings) for fold in folds]))
        if reached > best:
            best, chosen = reached, settings
        yield Trial(number, best, chosen)


def _average_precision(contender: Contender, fold: Fold, settings: Settings) -> float:
    score = contender.fit(fold.train, settings, 0)
    return average_precision(fold.test.is_fraud, score(fold.test.features))
