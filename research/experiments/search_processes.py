"""A search that goes on where it was stopped, in processes that can be stopped at any time."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import optuna
import torch

from batch_proc.fold import Fold
from experiments.contenders import Contender
from experiments.trials import Found, found_by, name_of, new_study, start_over, try_some

_LOOK_EVERY = 0.5  # seconds


class SearchError(Exception):
    """A search cannot start, or ended before its time; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """When a search ends: at the first of the two."""

    trials: int | None
    """In all, with those of earlier runs; None: any number."""
    seconds: float | None
    """From its start on; what is being tried then is stopped, and goes on in the next run. None:
    any time."""
    workers: int
    """Processes that try side by side."""


class End(Enum):
    """Why a search has ended."""

    TRIALS = auto()
    """All were made."""
    TIME = auto()
    """It was up."""
    INTERRUPTED = auto()
    """By Ctrl-C or SIGTERM."""


def resume(
    contender: Contender,
    folds: Sequence[Fold],
    database: Path,
    budget: Budget,
    on_found: Callable[[Found], None],
) -> tuple[optuna.Study, End]:
    """The search of a contender's settings on these folds, gone on with until the budget is spent.

    Trials run in processes of their own, because training in machine code hears of no signal: when
    time is up, and after a KeyboardInterrupt here, they are killed. What was found is kept.

    Args:
        contender: whose settings; other processes must be able to import its functions.
        folds: for validation.
        database: SQLite's, which keeps all searches; it is made where there is none.
        budget: when to end.
        on_found: called after a trial.

    Returns:
        The search, and why it has ended.

    Raises:
        SearchError: another process searches in this database, or one of ours ended.
    """
    deadline = None if budget.seconds is None else time.monotonic() + budget.seconds
    database.parent.mkdir(parents=True, exist_ok=True)
    name = name_of(contender, folds)
    with _alone(database):
        study = new_study(contender, storage=_storage(database), name=name)
        start_over(study)
        before = _ended(study)
        left = None if budget.trials is None else max(budget.trials - before, 0)
        works = [
            # From the number on: a seed draws what it has not drawn yet.
            _Work(database, name, contender, before + 1_000 * number, share, budget.workers)
            for number, share in enumerate(_shares(left, budget.workers))
            if share != 0
        ]
        workers: list[_Worker] = []
        try:
            workers.extend(_start(work, folds) for work in works)
            return study, _watch(workers, study, deadline, on_found)
        except KeyboardInterrupt:
            return study, End.INTERRUPTED
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()


@dataclass(frozen=True, slots=True)
class _Work:
    """What one process of several does."""

    database: Path
    name: str
    contender: Contender
    seed: int
    trials: int | None
    processes: int


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process that makes trials, as who watches sees it."""

    process: ForkServerProcess
    wrong: Connection
    """Says what was."""

    def why_failed(self) -> str | None:
        """None: it has not."""
        if not self.process.exitcode:
            return None
        said = self.wrong.poll()
        return self.wrong.recv() if said else f"it ended with {self.process.exitcode}"


def _start(work: _Work, folds: Sequence[Fold]) -> _Worker:
    # A plain fork would share torch's threads, which do not live on in a child. The server that
    # forks has imported what takes long, and trains nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_Work.__module__])
    reads, writes = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(work, folds, writes), daemon=True)
    process.start()
    return _Worker(process, reads)


def _work(work: _Work, folds: Sequence[Fold], wrong: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for who watches
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if work.processes > 1:
        torch.set_num_threads(1)  # they share the cores
    try:
        study = new_study(
            work.contender, storage=_storage(work.database), name=work.name, seed=work.seed
        )
        turn = partial(_turn, work.database)
        for _ in try_some(study, work.contender, folds, trials=work.trials, turn=turn):
            pass
    except Exception as error:
        wrong.send(f"{type(error).__name__}: {error}")
        raise


def _end_with_parent() -> None:
    """Whatever ends who watches ends this process, which would else go on unwatched."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(
    workers: Sequence[_Worker],
    study: optuna.Study,
    deadline: float | None,
    on_found: Callable[[Found], None],
) -> End:
    """Tells of each trial until all processes have ended or time is up.

    Raises:
        SearchError: a process has failed.
    """
    told = _ended(study)
    while True:
        alive = [it.process for it in workers if it.process.is_alive()]
        for worker in workers:
            if (why := worker.why_failed()) is not None:
                raise SearchError(
                    f"a process of the search failed: {why}; all were stopped. The same command"
                    " goes on where it was"
                )
        if (ended := _ended(study)) > told and study.best_trials:
            told = ended
            on_found(found_by(study))
        if not alive:
            return End.TRIALS
        left = _LOOK_EVERY if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return End.TIME
        wait([it.sentinel for it in alive], timeout=min(left, _LOOK_EVERY))


def _shares(trials: int | None, workers: int) -> list[int | None]:
    if trials is None:
        return [None] * workers
    return [trials // workers + (number < trials % workers) for number in range(workers)]


def _ended(study: optuna.Study) -> int:
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


def _storage(database: Path) -> str:
    return f"sqlite:///{database}"


@contextmanager
def _turn(database: Path) -> Iterator[None]:
    """No other process of the search is here; a killed one is no longer."""
    with database.with_name(f"{database.name}.turn").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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
