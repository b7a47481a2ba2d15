"""A search tries what is known first, gives up early what is behind, and goes on where it was."""

import dataclasses
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import psutil
import pytest
from folds import FOLD, rows, with_sequence
from noisy import AT_ONCE, ENDLESS, Noisy, suggest

from batch_proc.errors import SHOWN
from batch_proc.fold import Fold
from batch_proc.progress import Stage
from batch_proc.train_config import TrainConfig, read_train_config
from data_connector.command import run
from experiments import search
from experiments.contenders import CONTENDERS, Contender
from experiments.search_processes import Budget, End, SearchError, resume
from experiments.tracking import Tracker
from experiments.trials import Found, found_by, name_of, new_study, start_over, try_some
from experiments.trials import search as search_in_memory
from fraud_ml.metrics import roc_auc
from fraud_ml.scenario import Population, Scenario

FOLDS = [FOLD, dataclasses.replace(FOLD, test=rows(3)), dataclasses.replace(FOLD, test=rows(4))]
SMALL = {"max_epochs": 2, "n_estimators": 2, "k": 4, "d_block": 16}
LIGHTGBM = next(it for it in CONTENDERS if it.name == "lightgbm")
WITHOUT_END = """\
import pathlib, sys
from experiments.search_processes import Budget, resume
from folds import FOLD
from noisy import ENDLESS

budget = Budget(trials=None, seconds=None, workers=1)
_, end = resume(ENDLESS, [FOLD], pathlib.Path(sys.argv[1]), budget, lambda found: None)
print(end.name)
"""
UNTIL_TRIALS = Budget(trials=4, seconds=None, workers=1)


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
        train, test = (with_sequence(it, contender.last_payments) for it in (FOLD.train, FOLD.test))
        score = contender.fit(train, settings, 0)
        assert roc_auc(test.is_fraud, score(test.features)) > 0.7


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda it: it.name)
def test_what_is_known_lies_where_the_search_looks(contender: Contender) -> None:
    study = optuna.create_study()
    study.enqueue_trial(dict(contender.start))
    trial = study.ask()
    # Where a value lay outside, optuna would warn, which is an error here, and draw another.
    assert contender.suggest(trial) == contender.start


def tried(study: optuna.Study) -> list[float]:
    """The different qualities that a search has tried, in order."""
    return list(dict.fromkeys(it.params["quality"] for it in study.get_trials() if it.params))


def test_the_same_command_goes_on_where_it_was(tmp_path: Path) -> None:
    noisy, database = Noisy().contender, tmp_path / "search.db"
    study, end = resume(noisy, FOLDS, database, UNTIL_TRIALS, ignore)
    before = tried(study)
    assert (before[0], len(before), end) == (1.0, 4, End.TRIALS)
    more = dataclasses.replace(UNTIL_TRIALS, trials=6)
    study, _ = resume(noisy, FOLDS, database, more, ignore)
    assert found_by(study).number == 6
    assert len(tried(study)) == 6  # nothing twice
    study, _ = resume(noisy, FOLDS, database, more, ignore)
    assert len(tried(study)) == 6  # and nothing more


def test_other_rows_are_another_search(tmp_path: Path) -> None:
    noisy, database = Noisy().contender, tmp_path / "search.db"
    one, _ = resume(noisy, FOLDS, database, UNTIL_TRIALS, ignore)
    two, _ = resume(noisy, FOLDS[:2], database, UNTIL_TRIALS, ignore)
    assert one.study_name != two.study_name
    assert found_by(two).number == 4


def test_what_was_being_tried_when_it_was_killed_is_tried_first(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    noisy = Noisy()
    study = new_study(noisy.contender, storage=storage, name="it")
    list(try_some(study, noisy.contender, FOLDS[:1], trials=1))
    killed = suggest(study.ask())["quality"]
    study = new_study(noisy.contender, storage=storage, name="it", seed=1)
    assert start_over(study) == 1
    list(try_some(study, noisy.contender, FOLDS[:1], trials=1))
    assert noisy.tried == [1.0, killed]
    assert start_over(study) == 0


def test_a_trial_goes_on_with_the_fold_that_it_was_on() -> None:
    noisy, whole = Noisy(), Noisy()
    whole_study = new_study(whole.contender)
    list(try_some(whole_study, whole.contender, FOLDS, trials=1))

    def stopped_at_the_third(rows, settings, seed):
        if len(noisy.tried) == 2:
            raise KeyboardInterrupt
        return noisy.fit(rows, settings, seed)

    study = new_study(noisy.contender)
    stopped = dataclasses.replace(noisy.contender, fit=stopped_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        list(try_some(study, stopped, FOLDS, trials=1))
    assert start_over(study) == 1
    list(try_some(study, noisy.contender, FOLDS, trials=1))
    assert noisy.tried == [1.0] * 3  # each fold once
    assert study.best_trial.intermediate_values == whole_study.best_trial.intermediate_values


def test_two_searches_do_not_share_a_database(tmp_path: Path) -> None:
    with (tmp_path / "search.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SearchError, match="another search"):
            resume(Noisy().contender, FOLDS, tmp_path / "search.db", UNTIL_TRIALS, ignore)


def test_a_trial_that_runs_when_time_is_up_is_stopped_and_what_was_found_stays(
    tmp_path: Path,
) -> None:
    database = tmp_path / "search.db"
    resume(Noisy().contender, FOLDS, database, UNTIL_TRIALS, ignore)
    budget = Budget(trials=None, seconds=0.5, workers=2)
    study, end = resume(ENDLESS, FOLDS, database, budget, ignore)
    assert end is End.TIME
    assert found_by(study).number == 4
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_of_a_search_that_ends(tmp_path: Path, sent: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_END, str(tmp_path / "search.db")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, as a terminal's command
    ) as search:
        assert search.stdout.readline() == "fits\n"  # a process of it does
        processes = psutil.Process(search.pid).children(recursive=True)
        if sent is signal.SIGINT:
            os.killpg(search.pid, sent)  # as Ctrl-C does
        else:
            search.kill()
        said, errors = search.communicate(timeout=30)
    _, left = psutil.wait_procs(processes, timeout=10)
    assert left == []
    if sent is signal.SIGINT:
        assert (said, errors, search.returncode) == ("INTERRUPTED\n", "", 0)


def test_other_rows_or_another_start_are_another_search() -> None:
    name = name_of(LIGHTGBM, FOLDS[:1])
    assert name == name_of(LIGHTGBM, FOLDS[:1])
    assert name != name_of(LIGHTGBM, FOLDS[1:])
    other = dataclasses.replace(LIGHTGBM, start={**LIGHTGBM.start, "num_leaves": 17})
    assert name != name_of(other, FOLDS[:1])


def test_processes_that_ask_at_once_try_nothing_twice(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    name = name_of(AT_ONCE, FOLDS[:1])
    study = new_study(AT_ONCE, storage=f"sqlite:///{database}", name=name)  # its start waits, and
    waiting = [number / 20 for number in range(40) if number != 20]
    for quality in waiting:
        study.enqueue_trial({"quality": quality})
    resume(AT_ONCE, FOLDS[:1], database, Budget(trials=40, seconds=None, workers=4), ignore)
    qualities = [trial.params["quality"] for trial in study.get_trials()]
    assert sorted(qualities) == sorted([1.0, *waiting])


def test_processes_try_side_by_side_and_share_what_they_find(tmp_path: Path) -> None:
    told: list[Found] = []
    budget = Budget(trials=3, seconds=None, workers=2)
    study, _ = resume(LIGHTGBM, FOLDS[:1], tmp_path / "search.db", budget, told.append)
    assert found_by(study).number == 3
    assert told[-1] == found_by(study)
    tried = [tuple(it.params.items()) for it in study.get_trials()]
    assert len(set(tried)) == 3
    assert dict(tried[0]) == LIGHTGBM.start


def test_a_process_that_fails_ends_the_search_and_says_why(tmp_path: Path) -> None:
    budget = Budget(trials=4, seconds=None, workers=2)
    few = dataclasses.replace(FOLD.train, features=FOLD.train.features[:5])  # fewer than labels
    bad = [Fold(train=few, test=FOLD.test)]
    with pytest.raises(SearchError, match="failed: ValueError: .* inconsistent numbers of samples"):
        resume(LIGHTGBM, bad, tmp_path / "search.db", budget, ignore)


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


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_interrupted_writes_the_best_so_far_and_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sent: int
) -> None:
    def say(stage: Stage, text: str) -> None:
        if text.startswith("trial "):  # the first, or by now another
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(Stage, "say", say)
    assert search_with(monkeypatch, "--model", "lightgbm", "--trials", "1000000") == 1
    said = capsys.readouterr()
    assert "interrupted: these are the best settings so far" in said.err
    path = home / "search" / "lightgbm.json"
    assert f"settings: {path}" in said.out
    storage = f"sqlite:///{home / 'search.db'}"
    (name,) = optuna.get_all_study_names(storage)
    found = found_by(optuna.load_study(study_name=name, storage=storage))
    assert found.number >= 1
    assert json.loads(path.read_text()) == {"lightgbm": found.settings}
    (kept,) = Tracker(home).runs("search")
    assert (kept.status, kept.metrics["trials"]) == ("KILLED", found.number)
    assert multiprocessing.active_children() == []


def test_a_search_that_found_nothing_in_time_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search_with(monkeypatch, "--minutes", "0.0001") == 1
    assert "no trial was finished in --minutes 0.0001; the same command" in capsys.readouterr().err
    assert not (home / "search" / "ours.toml").exists()


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
