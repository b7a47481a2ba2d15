"""The comparison gives every model the same rows and the same chances, and reports what it says."""

import dataclasses
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from folds import FOLD
from rich.console import Console

from batch_proc.data_options import DataOptions
from batch_proc.errors import SHOWN
from batch_proc.fold import Days
from batch_proc.history import History
from data_connector.command import run
from experiments import compare, protocol
from experiments.contenders import CONTENDERS, OURS, Contender
from experiments.picture import draw
from experiments.table import Line, as_results, as_table
from experiments.tracking import Tracker
from fraud_ml.feature_spec import DEFAULT_SPEC
from fraud_ml.simulator import SimulatorConfig

QUICK = {"ours": {"max_epochs": 3}, "random_forest": {}, "xgboost": {}, "lightgbm": {}}


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda it: it.name)
def test_every_model_learns_what_is_to_be_learnt(contender: Contender) -> None:
    line, score = compare.compete(contender, QUICK[contender.name], [FOLD], 2, "all")
    assert score.shape == (2_000,)
    assert line.reached.shape == (2, 3)
    assert line.mean("auc") > 0.95
    assert line.mean("ap") > 0.8
    assert line.seconds > 0
    assert line.n_features == 3


def history(first: str, last: str) -> History:
    times = pa.array([dt.datetime.fromisoformat(day) for day in (first, last)], pa.timestamp("us"))
    return History(pa.table({"timestamp": times}), pa.table({}))


OPTIONS = DataOptions(
    source=None, table=None, column_names={}, spec=DEFAULT_SPEC,
    train_start=None, train_days=7, delay_days=7, test_days=7,
)  # fmt: skip


def starts(days: list[Days]) -> list[str]:
    return [f"{it.train_start:%m-%d}" for it in days]


def test_the_handbooks_folds_are_the_default_where_the_data_cover_them() -> None:
    tests = protocol.test_days(OPTIONS, history("2018-04-01", "2018-09-30"))
    assert starts(tests) == ["07-25", "08-01", "08-08", "08-15"]
    assert starts(protocol.validation_days(tests)) == ["06-20", "06-27", "07-04", "07-11"]


def test_other_data_are_tested_on_their_last_days() -> None:
    tests = protocol.test_days(OPTIONS, history("2020-01-01", "2020-12-31"))
    assert tests[-1].end == dt.date(2021, 1, 1)
    assert starts(tests) == ["11-20", "11-27", "12-04", "12-11"]


def test_the_user_may_say_where_to_start() -> None:
    options = dataclasses.replace(OPTIONS, train_start=dt.date(2018, 6, 1))
    tests = protocol.test_days(options, history("2018-04-01", "2018-09-30"))
    assert starts(tests) == ["06-01", "06-08", "06-15", "06-22"]


def line(model: str, ap: float, features: str = "all") -> Line:
    reached = np.array([[ap, 0.9, 0.3], [ap + 0.1, 0.9, 0.3]])
    return Line(model=model, features=features, n_features=3, reached=reached, seconds=1.0)


LINES = [line("ours", 0.7), line("one", 0.5), line("two", 0.6), line("ours", 0.4, "few")]


def test_the_numbers_are_against_the_best_on_the_same_features() -> None:
    results = {it.name: it for it in as_results(LINES, line("oracle", 0.75))}
    assert results["ap"].value == pytest.approx(0.75)
    assert results["ap"].peer == "two"
    assert results["ap"].ratio == pytest.approx(0.75 / 0.65)
    assert results["ap_over_oracle"].value == pytest.approx(0.75 / 0.8)
    assert results["ours_few_ap"].value == pytest.approx(0.45)
    assert "ap_over_oracle" not in {it.name for it in as_results(LINES, None)}


def test_the_table_has_every_line() -> None:
    console = Console(width=120, record=True)
    console.print(as_table(LINES, "title"))
    shown = console.export_text()
    assert "0.750 (0.050)" in shown
    assert "few (3)" in shown


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_picture_is_the_same_for_the_same_scores(tmp_path: Path, suffix: str) -> None:
    contents = []
    for number in (1, 2):
        path = tmp_path / f"{number}.{suffix}"
        score = FOLD.test.features[:, 0]
        draw(path, FOLD.test.is_fraud, {"ours": score, "theirs": -score}, "title")
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert len(contents[0]) > 5_000


def test_settings_are_there_for_every_contender_and_ours_are_the_defaults() -> None:
    settings = compare.read_settings()
    assert list(settings) == [contender.name for contender in CONTENDERS]
    assert settings[OURS.name] == {}  # what was found became the library's defaults


def test_the_command_compares_all_and_writes_what_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = SimulatorConfig(n_customers=400, n_terminals=800, n_days=120, radius=12, seed=1)
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("batch_proc.inputs.SimulatorConfig", lambda: small)
    monkeypatch.setattr(compare, "SimulatorConfig", lambda: small)
    monkeypatch.setattr(compare, "read_settings", lambda: QUICK)
    numbers = tmp_path / "numbers.json"
    arguments = ["--quick", "--train-start", "2018-06-20", "--json", str(numbers)]
    monkeypatch.setattr("sys.argv", ["compare", *arguments])
    assert run(compare.main, shown=SHOWN) == 0
    found = {row["name"]: row for row in json.loads(numbers.read_text())}
    assert {"ap", "auc", "cp100", "ap_over_oracle", "cp100_over_oracle"} <= set(found)
    assert set(found["ap"]) == {"name", "value", "unit", "peer", "ratio"}
    assert 0.2 < found["ap"]["value"] < 1
    # Of other rows than the tested ones, the oracle's precision would be the rate of fraud.
    assert 0.3 < found["ap_over_oracle"]["value"] < 1.2
    shown = capsys.readouterr().out
    for model in ("ours", "random_for", "xgboost", "lightgbm", "oracle"):
        assert model in shown
    assert (tmp_path / "home/reports/compare.svg").read_bytes().startswith(b"<?xml")
    kept = {it.parameters["model"]: it for it in Tracker(tmp_path / "home").runs("compare")}
    assert list(kept) == [contender.name for contender in reversed(CONTENDERS)]
    assert kept["ours"].metrics["ap"] == pytest.approx(found["ap"]["value"])
    assert kept["ours"].parameters["max_epochs"] == "3"
