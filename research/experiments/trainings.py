"""Trainings of a comparison, kept in a folder: one that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from batch_proc.fold import Fold
from data_connector.atomic import written_whole
from data_connector.command import UsageError
from experiments.contenders import Contender, Settings
from experiments.scoring_time import ScoringTime, time_scoring
from experiments.trials import digest_of

_ENDING = ".npz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What came of training a model once."""

    scores: npt.NDArray[np.floating]
    """Of the fold's test rows, shape ``(N,)``."""
    seconds: float
    """That training took."""
    scoring: ScoringTime | None
    """None where it was not asked for."""


class Train(Protocol):
    """How a model is trained: :func:`train`, or :meth:`KeptTrainings.train`."""

    def __call__(
        self, contender: Contender, settings: Settings, fold: Fold, seed: int, *, timed: bool
    ) -> Training:
        """What comes of it."""


def train(
    contender: Contender, settings: Settings, fold: Fold, seed: int, *, timed: bool
) -> Training:
    """Trains a model on a fold, and scores its test rows; ``timed``: and times its scoring."""
    started = time.monotonic()
    score = contender.fit(fold.train, settings, seed)
    seconds = time.monotonic() - started
    return Training(
        scores=score(fold.test.features),
        seconds=seconds,
        scoring=time_scoring(score, fold.test.features) if timed else None,
    )


class KeptTrainings:
    """A folder with a file for each training that has ended."""

    def __init__(self, folder: Path, *, commit: str) -> None:
        """The trainings in ``folder``, which is made where there is none.

        Args:
            folder: of the files.
            commit: of the code that trains; trainings of another are left alone.

        Raises:
            UsageError: the commit does not say which code that is.
            OSError: the folder cannot be made.
        """
        if commit == "unknown" or commit.endswith("-dirty"):
            raise UsageError(
                f"--resume {folder}: the code is of no commit ({commit}), so nobody could tell"
                " whether it is the code of the trainings there; commit it first"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._commit = commit

    def train(
        self, contender: Contender, settings: Settings, fold: Fold, seed: int, *, timed: bool
    ) -> Training:
        """As :func:`train`, but what is in the folder is read.

        Raises:
            UsageError: the file of the training is damaged.
            ConnectorError: it cannot be written.
        """
        path = self._path(contender, settings, fold, seed, timed=timed)
        if path.exists():
            return _read(path)
        done = train(contender, settings, fold, seed, timed=timed)
        with written_whole(path, replace=True) as file:
            file.write(_to_bytes(done))
        return done

    def _path(
        self, contender: Contender, settings: Settings, fold: Fold, seed: int, *, timed: bool
    ) -> Path:
        what = {"commit": self._commit, "settings": dict(settings), "seed": seed, "timed": timed}
        text = json.dumps(what | {"rows": digest_of([fold])}, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._folder / f"{contender.name}-{name}{_ENDING}"


def _to_bytes(training: Training) -> bytes:
    scoring = training.scoring
    content = io.BytesIO()
    np.savez(
        content,
        scores=training.scores,
        seconds=training.seconds,
        scoring=[] if scoring is None else [scoring.one, scoring.row],
    )
    return content.getvalue()


def _read(path: Path) -> Training:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            scoring = kept["scoring"].tolist()
            return Training(
                scores=kept["scores"],
                seconds=float(kept["seconds"]),
                scoring=ScoringTime(*scoring) if scoring else None,
            )
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"--resume: {path} is damaged, delete it and it is trained again: {error}"
        ) from error
