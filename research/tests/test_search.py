"""A search tries what is known first, gives up early what is behind, and goes on where it was."""

import dataclasses
import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import optuna
import pytest
from folds import FOLD, rows

from batch_proc.errors import SHOWN
from batch_proc.fold import Fold
from batch_proc.train_config import TrainConfig, read_train_config
from data_connector.command import run
from experiments import search
from experiments.contenders import CONTENDERS, Contender
from experiments.search_processes import Budget, SearchError, resume
from experiments.tracking import Tracker
from experiments.trials import Found, found_by, new_study, start_over, try_some
from experiments.trials import search as search_in_memory
from fraud_ml.metrics import roc_auc
from fraud_ml.scenario import Population, Scenario

FOLDS = [FOLD, dataclasses.replace(FOLD, test=rows(3)), dataclasses.replace(FOLD, test=rows(4))]
SMALL = {"max_epochs": 2, "n_estimators": 2, "k": 4, "d_block": 16}
LIGHTGBM = next(it for it in CONTENDERS if it.name == "lightgbm")
UNTIL_TRIALS = Budget(trials=4, seconds=None, workers=1)


class Noisy:
    """A contender whose quality is its one setting."""

    def __init__(self) -> None:
        self.tried: list[float] = []
        self.contender = Contender("it", self.fit, self.suggest, start={"quality": 1.0})

    @staticmethod
    def suggest(trial: optuna.trial.BaseTrial) -> Mapping[str, float]:
        return {"quality": trial.suggest_float("quality", 0, 2)}

    def fit(self, rows, settings, seed):
        assert seed == 0
        self.tried.append(settings["quality"])
        noise = np.random.default_rng(0).normal(size=len(rows))
        return lambda features: settings["quality"] * features[:, 0] + noise


def ignore(found: Found) -> None:
    """Tells nobody."""


def test_a_search_starts_with_what_is_known_and_keeps_the_best() -> None:
    noisy = Noisy()
    found = list(search_in_memory(noisy.contender, FOLDS, trials=12))
    assert noisy.tried[:3] == [1.0] * 3
    assert [it.number for it in found] == list(range(1, 13))
    assert [it.best for it in found] == sorted(it.best for it in found)
    assert found[-1].settings == {"quality": max(noisy.tried)}
    assert list(search_in_memory(Noisy().contender, FOLDS, trials=12)) == found


def test_what_is_behind_is_given_up_before_its_last_fold() -> None:
    noisy = Noisy()
    found = list(search_in_memory(noisy.contender, FOLDS, trials=12))[-1]
    assert found.pruned > 0
    assert len(noisy.tried) == 12 * 3 - 2 * found.pruned


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda it: it.name)
def test_what_a_trial_suggests_can_be_trained_with(contender: Contender) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(3):
        settings = {**contender.suggest(study.ask())}
        assert settings.keys() == contender.start.keys()
        settings |= {name: SMALL[name] for name in SMALL if name in settings}
        if contender.name == "tabm":
            settings |= {"max_epochs": 10, "learning_rate": 5e-3}
        score = contender.fit(FOLD.train, settings, 0)
        assert roc_auc(FOLD.test.is_fraud, score(FOLD.test.features)) > 0.7


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda it: it.name)
def test_what_is_known_lies_where_the_search_looks(contender: Contender) -> None:
    study = optuna.create_study()
    study.enqueue_trial(dict(contender.start))
    trial = study.ask()
    # Where a value lay outside, optuna would warn, which is an error here, and draw another.
    assert contender.suggest(trial) == contender.start


def test_the_same_command_goes_on_where_it_was(tmp_path: Path) -> None:
    noisy, database = Noisy(), tmp_path / "search.db"
    resume(noisy.contender, FOLDS, database, UNTIL_TRIALS, ignore)
    assert noisy.tried[0] == 1.0
    before = set(noisy.tried)
    assert len(before) == 4
    more = dataclasses.replace(UNTIL_TRIALS, trials=6)
    study = resume(noisy.contender, FOLDS, database, more, ignore)
    assert found_by(study).number == 6
    assert len(set(noisy.tried)) == 6  # nothing twice
    resume(noisy.contender, FOLDS, database, more, ignore)
    assert len(set(noisy.tried)) == 6  # and nothing more


def test_other_rows_are_another_search(tmp_path: Path) -> None:
    noisy, database = Noisy(), tmp_path / "search.db"
    one = resume(noisy.contender, FOLDS, database, UNTIL_TRIALS, ignore)
    two = resume(noisy.contender, FOLDS[:2], database, UNTIL_TRIALS, ignore)
    assert one.study_name != two.study_name
    assert found_by(two).number == 4


def test_what_was_being_tried_when_it_was_killed_is_tried_first(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    noisy = Noisy()
    study = new_study(noisy.contender, storage=storage, name="it")
    list(try_some(study, noisy.contender, FOLDS[:1], trials=1))
    killed = noisy.contender.suggest(study.ask())["quality"]
    study = new_study(noisy.contender, storage=storage, name="it", seed=1)
    assert start_over(study) == 1
    list(try_some(study, noisy.contender, FOLDS[:1], trials=1))
    assert noisy.tried == [1.0, killed]
    assert start_over(study) == 0


def test_two_searches_do_not_share_a_database(tmp_path: Path) -> None:
    with (tmp_path / "search.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SearchError, match="another search"):
            resume(Noisy().contender, FOLDS, tmp_path / "search.db", UNTIL_TRIALS, ignore)


def test_no_trial_starts_when_time_is_up(tmp_path: Path) -> None:
    noisy = Noisy()
    budget = Budget(trials=None, seconds=0.0, workers=1)
    study = resume(noisy.contender, FOLDS, tmp_path / "search.db", budget, ignore)
    assert noisy.tried == []
    with pytest.raises(ValueError, match="no trial has reached"):
        found_by(study)


def test_processes_try_side_by_side_and_share_what_they_find(tmp_path: Path) -> None:
    told: list[Found] = []
    budget = Budget(trials=3, seconds=None, workers=2)
    study = resume(LIGHTGBM, FOLDS[:1], tmp_path / "search.db", budget, told.append)
    assert found_by(study).number == 3
    assert told[-1] == found_by(study)
    tried = [tuple(it.params.items()) for it in study.get_trials()]
    assert len(set(tried)) == 3
    assert dict(tried[0]) == LIGHTGBM.start


def test_a_process_that_fails_ends_the_search(tmp_path: Path, capfd) -> None:
    budget = Budget(trials=4, seconds=None, workers=2)
    few = dataclasses.replace(FOLD.train, features=FOLD.train.features[:5])  # fewer than labels
    bad = [Fold(train=few, test=FOLD.test)]
    with pytest.raises(SearchError, match="ended with 1"):
        resume(LIGHTGBM, bad, tmp_path / "search.db", budget, ignore)
    assert "ValueError" in capfd.readouterr().err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small = Scenario(
        n_days=120, seed=1, population=Population(n_customers=150, n_terminals=300, radius=15)
    )
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("batch_proc.inputs.Scenario", lambda: small)
    return tmp_path / "home"


def search_with(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    arguments = ["--train-start", "2018-06-20", "--folds", "1", *options]
    monkeypatch.setattr("sys.argv", ["search", *arguments])
    return run(search.main, shown=(*SHOWN, SearchError))


def test_the_winner_is_a_config_to_train_with(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search_with(monkeypatch, "--trials", "1") == 0
    shown = capsys.readouterr().out
    path = home / "search" / "ours.toml"
    assert f"//batch:train -- --config {path}" in shown
    assert read_train_config(path) == TrainConfig()  # the first trial is of the defaults
    (kept,) = Tracker(home).runs("search")
    assert kept.status == "FINISHED"
    assert kept.metrics["trials"] == 1
    assert f"AP {kept.metrics['ap']:.4f}" in path.read_text()
    assert kept.parameters["width"] == "64"
    assert [it.name for it in Tracker(home).files_of(kept.id)] == ["ours.toml"]


def test_the_others_settings_are_written_as_the_comparison_reads_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "found.json"
    options = ("--model", "lightgbm", "--trials", "1", "--output", str(output))
    assert search_with(monkeypatch, *options) == 0
    assert json.loads(output.read_text()).keys() == {"lightgbm"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--minutes", "0"), "must be positive"),
        (("--minutes", "soon"), "is no number"),
        (("--trials", "0"), "must be at least 1"),
        (("--model", "svm"), "invalid choice"),
        (("--output", "/nowhere/x.toml"), "the folder does not exist"),
    ],
)
def test_wrong_usage_is_said(
    options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    try:
        status = search_with(monkeypatch, *options)
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert said in capsys.readouterr().err
