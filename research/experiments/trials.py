"""A search for settings by Optuna: the same number of trials for every model."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import TrialState

from batch_proc.fold import Fold
from experiments.contenders import Contender, Settings
from fraud_ml.metrics import average_precision

optuna.logging.set_verbosity(optuna.logging.WARNING)  # progress is told by who searches

_SETTINGS, _REACHED = "settings", "reached"


@dataclass(frozen=True, slots=True)
class Found:
    """How far a search is."""

    number: int
    """Of trials that have ended: 1, 2, ..."""
    best: float
    """The highest mean average precision so far."""
    settings: Settings
    """Which reached it."""
    pruned: int
    """How many of the trials were given up before their last fold."""


def search(contender: Contender, folds: Sequence[Fold], *, trials: int) -> Iterator[Found]:
    """Searches the settings with the highest mean average precision over ``folds``.

    The first trial is the contender's start, the others are those of :func:`new_study`: the same
    ones on every run. Every trial trains once a fold, with seed 0, and is given up where its mean
    up to a fold is below the median of the trials before.

    Args:
        contender: whose settings.
        folds: for validation; what is tested later must not be among them.
        trials: at least 1.

    Yields:
        The state after each trial.
    """
    study = new_study(contender)
    for _ in try_some(study, contender, folds, trials=trials):
        yield found_by(study)


def new_study(
    contender: Contender, *, storage: str | None = None, name: str | None = None, seed: int = 0
) -> optuna.Study:
    """A search that has tried nothing, or that of the name which ``storage`` has.

    It draws by the tree-structured Parzen estimator (Bergstra et al., "Algorithms for
    Hyper-Parameter Optimization", 2011), the first ten trials at random.

    Args:
        contender: whose settings; new searches try its start first.
        storage: URL of the database that keeps it; None: nowhere.
        name: of it.
        seed: different for processes that search together, or they would try the same.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        load_if_exists=True,
        direction="maximize",
        # With others at work, settings near to those that they try are not tried as well.
        sampler=optuna.samplers.TPESampler(
            seed=zlib.crc32(contender.name.encode()) + seed, constant_liar=storage is not None
        ),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(contender.start))
    return study


def try_some(
    study: optuna.Study,
    contender: Contender,
    folds: Sequence[Fold],
    *,
    trials: int | None = None,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[int]:
    """Makes trials; yields how many, after each.

    Args:
        study: that they belong to.
        contender: whose settings.
        folds: for validation.
        trials: how many; None: without end.
        turn: held while asking what to try next. Optuna reads what waits to be tried, and then says
            that it is taken: with SQLite, two processes may do the one before either does the
            other, and try the same.
    """
    number = 0
    while trials is None or number < trials:
        with turn():
            trial = study.ask()
        _try(trial, study, contender, folds)
        number += 1
        yield number


def _try(
    trial: optuna.Trial, study: optuna.Study, contender: Contender, folds: Sequence[Fold]
) -> None:
    settings = contender.suggest(trial)
    trial.set_user_attr(_SETTINGS, settings)
    reached = list(trial.user_attrs.get(_REACHED, ()))  # before it was stopped
    for number, fold in enumerate(folds, start=1):
        if number > len(reached):
            score = contender.fit(fold.train, settings, 0)
            reached.append(average_precision(fold.test.is_fraud, score(fold.test.features)))
            trial.set_user_attr(_REACHED, reached)
        trial.report(float(np.mean(reached[:number])), number)
        if number < len(folds) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, float(np.mean(reached)))


def found_by(study: optuna.Study) -> Found:
    """How far a search is that has ended a trial.

    Raises:
        ValueError: no trial has reached its last fold.
    """
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    if all(trial.state is TrialState.PRUNED for trial in ended):
        raise ValueError("no trial has reached its last fold")
    best = study.best_trial
    return Found(
        number=len(ended),
        best=study.best_value,
        settings=best.user_attrs[_SETTINGS],
        pruned=sum(trial.state is TrialState.PRUNED for trial in ended),
    )


def start_over(study: optuna.Study) -> int:
    """Tries on, first of all, what was being tried when its process was stopped; how many.

    A trial goes on with the fold that it was on.
    """
    stopped = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in stopped:
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            reached = trial.user_attrs.get(_REACHED, [])
            study.enqueue_trial(trial.params, user_attrs={_REACHED: reached})
    return len(stopped)


def name_of(contender: Contender, folds: Sequence[Fold]) -> str:
    """A name for the search of a contender's settings on these folds.

    Other rows, or another start, as after a change of the model: another name, and a new search.
    """
    searched = f"{digest_of(folds)} {json.dumps(contender.start, sort_keys=True)}"
    return f"{contender.name}-{hashlib.sha256(searched.encode()).hexdigest()[:12]}"


def digest_of(folds: Sequence[Fold]) -> str:
    """SHA-256, in hex, of all that a model is given of the folds: other rows, another digest."""
    digest = hashlib.sha256()
    for fold in folds:
        for rows in (fold.train, fold.test):
            for part in (rows.features, rows.is_fraud, rows.customer):
                digest.update(part.tobytes())
    return digest.hexdigest()
