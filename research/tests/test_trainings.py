"""Trainings that are kept are not repeated, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from folds import FOLD, rows

from batch_proc.fold import Fold, Rows
from data_connector.command import UsageError
from experiments.compare import compete
from experiments.contenders import Contender, Settings
from experiments.trainings import KeptTrainings

Floats = npt.NDArray[np.float32]

FOLDS = [FOLD, Fold(train=rows(3), test=rows(4))]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_time_is_spent_on_measuring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.scoring_time._SECONDS", 0)


def model(*, interrupted_in: int | None = None) -> tuple[Contender, list[int]]:
    """A model that scores by a feature and its seed, and the seeds that it was trained with."""
    trained: list[int] = []

    def fit(rows: Rows, settings: Settings, seed: int) -> Callable[[Floats], Floats]:
        if len(trained) == interrupted_in:
            raise KeyboardInterrupt
        trained.append(seed)
        weight = np.float32(1 + seed * settings.get("weight", 0.1))
        usual = rows.features[:, 0].mean()
        return lambda features: (features[:, 0] - usual) * weight + features[:, 1]

    return Contender("model", fit, lambda _: {}, start={}), trained


def test_a_comparison_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, _ = model()
    expected, all_scores = compete(whole, {}, FOLDS, 3, "all")
    stopped, trained = model(interrupted_in=4)
    kept = KeptTrainings(tmp_path / "new" / "kept", commit=COMMIT)
    with pytest.raises(KeyboardInterrupt):
        compete(stopped, {}, FOLDS, 3, "all", kept.train)
    assert trained == [0, 1, 2, 0]
    going_on, trained = model()
    again = KeptTrainings(tmp_path / "new" / "kept", commit=COMMIT)
    found, scores = compete(going_on, {}, FOLDS, 3, "all", again.train)
    assert trained == [1, 2]
    np.testing.assert_array_equal(found.reached, expected.reached)
    np.testing.assert_array_equal(scores, all_scores)
    assert found.scoring is not None
    assert found.seconds > 0


def test_what_was_kept_says_what_it_said(tmp_path: Path) -> None:
    kept = KeptTrainings(tmp_path, commit=COMMIT)
    for timed in (True, False):
        contender, trained = model()
        first, second = (kept.train(contender, {}, FOLD, 7, timed=timed) for _ in range(2))
        assert trained == [7]
        np.testing.assert_array_equal(first.scores, second.scores)
        assert first.scores.dtype == second.scores.dtype
        assert (first.seconds, first.scoring) == (second.seconds, second.scoring)
        assert (first.scoring is not None) == timed


def changed(part: str) -> Fold:
    """The fold with one value of its rows to train on that is another."""
    values = getattr(FOLD.train, part).copy()
    values.flat[5] = 0 if values.flat[5] else 1
    return dataclasses.replace(FOLD, train=dataclasses.replace(FOLD.train, **{part: values}))


@pytest.mark.parametrize("part", ["features", "is_fraud", "customer"])
def test_other_rows_are_trained_on(tmp_path: Path, part: str) -> None:
    kept = KeptTrainings(tmp_path, commit=COMMIT)
    contender, trained = model()
    for fold in (FOLD, changed(part)):
        kept.train(contender, {}, fold, 0, timed=False)
    assert trained == [0, 0]


def test_other_settings_seeds_models_and_code_are_trained_anew(tmp_path: Path) -> None:
    contender, trained = model()
    for settings, seed, name, commit in (
        ({}, 0, "model", COMMIT),
        ({"weight": 0.5}, 0, "model", COMMIT),
        ({}, 1, "model", COMMIT),
        ({}, 0, "another", COMMIT),
        ({}, 0, "model", COMMIT[::-1]),
    ):
        named = dataclasses.replace(contender, name=name)
        KeptTrainings(tmp_path, commit=commit).train(named, settings, FOLD, seed, timed=False)
    assert trained == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("commit", ["unknown", f"{COMMIT}-dirty"])
def test_code_that_nobody_can_name_keeps_nothing(tmp_path: Path, commit: str) -> None:
    with pytest.raises(UsageError, match=f"of no commit \\({commit}\\).*commit it first"):
        KeptTrainings(tmp_path / "kept", commit=commit)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("damage", [lambda content: content[:-40], lambda _: b""])
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    kept = KeptTrainings(tmp_path, commit=COMMIT)
    contender, _ = model()
    kept.train(contender, {}, FOLD, 0, timed=True)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UsageError, match=f"{file.name} is damaged, delete it"):
        kept.train(contender, {}, FOLD, 0, timed=True)
    file.unlink()
    kept.train(contender, {}, FOLD, 0, timed=True)
