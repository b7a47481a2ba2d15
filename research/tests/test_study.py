"""An experiment's folder runs, is kept and reported; what says what is not so is refused."""

import datetime as dt
import json
from pathlib import Path

import pytest

from data_connector.command import UsageError, run
from experiments import new_experiment, study_run, study_trial
from experiments.study import Study
from experiments.study_code import code_of, open_study
from experiments.study_folder import StudyError, read_config, write_report
from experiments.tracking import Tracker

CONFIG = """\
owner = "@fraud-detect/modelling"
question = "Is twice as much more?"
status = "open"
seed = 3

[parameters]
factor = 2.0
days = 3
names = ["a"]

[small]
days = 1
"""
CODE = """\
import datetime as dt

def run(study):
    study.log("product", study.parameters["factor"] * study.seed, unit="EUR")
    for day in range(study.parameters["days"]):
        study.log("product", day, day=dt.date(2018, 8, 1 + day))
    study.file("note.txt").write_text(f"{study.small}")
"""
README = "# It\n\n## Question\n\n## Answer\n\n## Next\n"
OWNERS = "* @fraud-detect/platform  # all\n/research/ @fraud-detect/modelling\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path / "home"))
    folder = tmp_path / "research/experiments/twice"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    (folder / "experiment.py").write_text(CODE)
    (folder / "README.md").write_text(README)
    (tmp_path / "CODEOWNERS").write_text(OWNERS)
    return folder


def start(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["run", str(folder), *options])
    return run(study_run.main, shown=(StudyError,))


def tried(folder: Path) -> int:
    return study_trial.main(str(folder), str(folder.parents[2] / "CODEOWNERS"))


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_run_is_reported_and_kept(folder, monkeypatch, capsys) -> None:
    assert start(folder, monkeypatch) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["parameters"] == {"factor": 2.0, "days": 3, "names": ["a"]}
    assert report["metrics"] == [{"name": "product", "value": 6.0, "unit": "EUR"}]
    assert report["by_day"][2] == {"name": "product", "day": "2018-08-03", "value": 2.0}
    assert (report["experiment"], report["seed"]) == ("twice", 3)
    tracker = Tracker(folder.parents[2] / "home")
    (kept,) = tracker.runs("twice")
    assert kept.metrics == {"product": 6.0}
    assert kept.parameters == {"factor": "2.0", "days": "3", "names": "['a']", "seed": "3"}
    assert len(tracker.by_day(kept.id, "product")) == 3
    assert [it.read_text() for it in tracker.files_of(kept.id)] == ["False"]
    assert kept.id[:8] in capsys.readouterr().out
    assert tried(folder) == 0  # what the report says is so


def test_another_value_is_tried_once_and_reported_nowhere(folder, monkeypatch) -> None:
    assert start(folder, monkeypatch, "--set", "factor=5", "--set", 'names=["b", "c"]') == 0
    assert not (folder / "report.json").exists()
    (kept,) = Tracker(folder.parents[2] / "home").runs("twice")
    assert kept.metrics == {"product": 15.0}


def test_a_run_that_fails_keeps_what_it_had_measured(folder, monkeypatch) -> None:
    (folder / "experiment.py").write_text(CODE + "    raise RuntimeError('at the end')\n")
    with pytest.raises(RuntimeError, match="at the end"):
        start(folder, monkeypatch)
    (kept,) = Tracker(folder.parents[2] / "home").runs("twice")
    assert (kept.status, kept.metrics) == ("FAILED", {"product": 6.0})
    assert not (folder / "report.json").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("factor", "is no NAME=VALUE"),
        ("factor=b", "is not as in TOML"),
        ("colour=1", "has no parameter 'colour'; it has: factor, days, names"),
        ("days=1.5", "days of twice is a whole number, as 3; got 1.5"),
    ],
)
def test_a_value_that_is_none_is_refused(folder, option, said, monkeypatch, capsys) -> None:
    assert start(folder, monkeypatch, "--set", option) == 2
    assert said in capsys.readouterr().err


def test_an_open_experiment_needs_no_report(folder) -> None:
    assert tried(folder) == 0


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("config.toml", "modelling", "nobody", "CODEOWNERS names no @fraud-detect/nobody"),
        ("config.toml", '"@fraud-detect/modelling"', '"me"', "owner must be as in CODEOWNERS"),
        ("config.toml", '"open"', '"answered"', "report.json is not there"),
        ("config.toml", '"open"', '"done"', "status must be one of"),
        ("config.toml", "seed = 3", 'seed = "3"', "seed must be a whole number"),
        ("config.toml", "Is twice as much more?", "", "question is empty"),
        ("config.toml", "[small]", "[little]", "unknown keys ['little']"),
        ("config.toml", "[small]", "[small]\nhours = 1", "[small]: twice has no parameter 'hours'"),
        ("config.toml", "seed = 3", "seed =", "is not TOML"),
        ("README.md", "## Next", "## Then", "the headings must be"),
        ("experiment.py", "def run", "def go", "has no function run"),
        ("experiment.py", "(study):", "(study):\n    return", "the run measured nothing"),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_refused(
    folder, file, before, after, said, capsys
) -> None:
    change(folder / file, before, after)
    assert tried(folder) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("config.toml", "factor = 2.0", "factor = 3.0", "is of other parameters"),
        ("config.toml", "seed = 3", "seed = 4", "or another seed"),
        ("experiment.py", '"product", study', '"sum", study', "['sum']"),
        ("experiment.py", '"product", day', '"sum", day', "metrics by day"),
        ("report.json", '"twice"', '"thrice"', "is of the experiment 'thrice'"),
        ("report.json", '"metrics"', '"numbers"', "is none (KeyError"),
    ],
)
def test_a_report_that_is_no_longer_so_is_refused(
    folder, file, before, after, said, capsys
) -> None:
    config = read_config(folder)
    study = Study(
        name=config.name,
        parameters=config.parameters,
        seed=config.seed,
        small=False,
        folder=folder.parent / "files",
    )
    code_of(folder)(study)
    (folder / "report.json").write_text(write_report(study, commit="abc", seconds=1.0))
    assert tried(folder) == 0
    change(folder / file, before, after)
    assert tried(folder) == 1
    assert said in capsys.readouterr().err


def test_a_number_is_told_once_and_is_one(tmp_path: Path) -> None:
    study = Study(name="it", parameters={}, seed=0, small=True, folder=tmp_path)
    study.log("ap", 0.5)
    study.log("ap", 0.5, day=dt.date(2018, 8, 1))
    with pytest.raises(ValueError, match="ap was logged before"):
        study.log("ap", 0.6)
    with pytest.raises(ValueError, match="before for 2018-08-01"):
        study.log("ap", 0.6, day=dt.date(2018, 8, 1))
    with pytest.raises(ValueError, match="must be a finite number"):
        study.log("auc", float("nan"))


@pytest.mark.parametrize("options", [[], ["--notebook"]], ids=["code", "notebook"])
def test_a_new_experiment_runs_and_passes_its_test(
    folder, options: list[str], monkeypatch, capsys
) -> None:
    root = folder.parents[2]
    assert run(lambda: new_experiment.main(["of_ours", *options])) == 0
    made = root / "research/experiments/of_ours"
    assert "//research/experiments/of_ours:test" in capsys.readouterr().out
    assert tried(made) == 0
    study = open_study(made)
    code_of(made)(study)
    assert list(study.metrics) == ["fraud_share_few", "fraud_share_some", "fraud_share_many"]
    assert read_config(made).owner == "@fraud-detect/modelling"
    assert 'name = "of_ours"' in (made / "BUILD.bazel").read_text()
    with pytest.raises(UsageError, match="is there already"):
        new_experiment.make(root, "of_ours", owner="@us", notebook=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Mine"], "a name has lower-case letters"),
        (["compare"], "is there already"),  # a module of ours
        (["mine", "--owner", "me"], "is neither @user"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(folder, arguments, said, capsys) -> None:
    assert run(lambda: new_experiment.main(arguments)) == 2
    assert said in capsys.readouterr().err
    assert not (folder.parent / arguments[0]).exists()


def test_there_is_one_code(folder, capsys) -> None:
    (folder / "notebook.py").write_text("app = None\n")
    assert tried(folder) == 1
    assert "both are" in capsys.readouterr().err
