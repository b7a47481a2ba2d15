"""A search that goes on where it was stopped, in one process or several, until time is up."""

from __future__ import annotations

import fcntl
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

import optuna
import torch

from batch_proc.fold import Fold
from experiments.contenders import CONTENDERS, Contender
from experiments.trials import Found, found_by, name_of, new_study, start_over, try_some

_LOOK_EVERY = 0.5  # seconds


class SearchError(Exception):
    """A search cannot start, or one of its processes ended; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """When a search ends: at the first of the two."""

    trials: int | None
    """In all, with those of earlier runs; None: any number."""
    seconds: float | None
    """From its start on; what is being tried then is tried to its end. None: any time."""
    workers: int
    """Processes that try side by side."""


def resume(
    contender: Contender,
    folds: Sequence[Fold],
    database: Path,
    budget: Budget,
    on_found: Callable[[Found], None],
) -> optuna.Study:
    """The search of a contender's settings on these folds, gone on with until the budget is spent.

    Args:
        contender: whose settings.
        folds: for validation.
        database: SQLite's, which keeps all searches; it is made where there is none.
        budget: when to end.
        on_found: called after a trial.

    Raises:
        SearchError: another process searches in this database, or one of ours ended.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    storage, name = f"sqlite:///{database}", name_of(contender, folds)
    deadline = None if budget.seconds is None else time.time() + budget.seconds
    with _alone(database):
        study = new_study(contender, storage=storage, name=name)
        start_over(study)
        before = _ended(study)
        left = None if budget.trials is None else max(budget.trials - before, 0)
        if budget.workers == 1:
            # From the number on: the seed draws what it has not drawn yet.
            study = new_study(contender, storage=storage, name=name, seed=before)
            for _ in try_some(study, contender, folds, trials=left, deadline=deadline):
                on_found(found_by(study))
            return study
        works = [
            _Work(storage, name, contender.name, before + 1_000 * number, share, deadline)
            for number, share in enumerate(_shares(left, budget.workers))
        ]
        processes = [_start(work, folds) for work in works]
        _watch(processes, study, on_found)
    return study


@dataclass(frozen=True, slots=True)
class _Work:
    """What one process of several does."""

    storage: str
    name: str
    contender: str
    seed: int
    trials: int | None
    deadline: float | None


def _start(work: _Work, folds: Sequence[Fold]) -> SpawnProcess:
    # A fork would share torch's threads, which do not live on in a child.
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(work, folds))
    process.daemon = True  # it ends with this one
    process.start()
    return process


def _work(work: _Work, folds: Sequence[Fold]) -> None:
    torch.set_num_threads(1)  # the processes share the cores
    (contender,) = (it for it in CONTENDERS if it.name == work.contender)
    study = new_study(contender, storage=work.storage, name=work.name, seed=work.seed)
    for _ in try_some(study, contender, folds, trials=work.trials, deadline=work.deadline):
        pass


def _watch(
    processes: Sequence[SpawnProcess], study: optuna.Study, on_found: Callable[[Found], None]
) -> None:
    """Tells of each trial until all processes have ended; ends the others if one fails."""
    told = _ended(study)
    try:
        while True:
            alive = [it for it in processes if it.is_alive()]
            if failed := [it for it in processes if it.exitcode]:
                raise SearchError(
                    f"a process of the search ended with {failed[0].exitcode}, see above; the"
                    " others were stopped. The same command goes on where it was"
                )
            if (ended := _ended(study)) > told and study.best_trials:
                told = ended
                on_found(found_by(study))
            if not alive:
                return
            alive[0].join(_LOOK_EVERY)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _shares(trials: int | None, workers: int) -> list[int | None]:
    if trials is None:
        return [None] * workers
    return [trials // workers + (number < trials % workers) for number in range(workers)]


def _ended(study: optuna.Study) -> int:
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """No other process searches in the database: what it has running has been stopped."""
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SearchError(
                f"another search is using {database}: wait for it, or stop it; --workers N tries"
                " side by side"
            ) from None
        yield
