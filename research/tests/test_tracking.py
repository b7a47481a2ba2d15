"""What is run is kept, compared, and told to nobody."""

import datetime as dt
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from data_connector.command import run
from experiments import runs
from experiments.tracking import Tracker

DAY = dt.date(2018, 8, 8)

# Audits what the process does from before mlflow is imported to after a run is kept; as a user has
# it, who has set nothing, and is neither in a test nor in CI, where mlflow is silent anyway.
SILENT = """
import os, sys
said = []
sys.addaudithook(lambda event, _: said.append(event) if event in (
    "socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname") else None)
from pathlib import Path
from experiments.tracking import Tracker
with Tracker(Path(sys.argv[1])).run("it", {"a": 1}, commit="abc") as run:
    run.log("ap", 0.5)
import mlflow.telemetry.client as telemetry
from mlflow.telemetry.utils import is_telemetry_disabled
import json
print(json.dumps({"said": said, "disabled": is_telemetry_disabled(),
                  "client": telemetry.get_telemetry_client() is not None}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two runs of one experiment, one that failed, and one of another."""
    home = tmp_path_factory.mktemp("home")
    tracker = Tracker(home)
    (home / "curve.svg").write_text("<svg/>")
    for width, ap in ((32, 0.6), (64, 0.7)):
        parameters = {"width": width, "depth": 3}
        with tracker.run("shapes", parameters, commit="a" * 40 + "-dirty", owner="@us") as kept:
            kept.log("ap", ap)
            for day in range(3):
                kept.log("ap", ap + day / 100, day=DAY + dt.timedelta(days=day))
            kept.keep(home / "curve.svg")
    with suppress(ZeroDivisionError), tracker.run("shapes", {}, commit="b") as kept:
        kept.log("ap", 0.1)
        raise ZeroDivisionError
    with suppress(KeyboardInterrupt), tracker.run("other", {}, commit="b"):
        raise KeyboardInterrupt
    return home


def shown(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> str:
    monkeypatch.setenv("FRAUD_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    assert run(lambda: runs.main(options)) == 0
    return capsys.readouterr().out


def test_a_run_keeps_what_it_was_given_and_what_it_came_to(home: Path) -> None:
    failed, second, first = Tracker(home).runs("shapes")
    assert (first.parameters, first.metrics) == ({"width": "32", "depth": "3"}, {"ap": 0.6})
    assert second.commit == "a" * 40 + "-dirty"
    assert second.seconds >= 0
    assert second.started.tzinfo is dt.UTC
    assert [it.status for it in (first, second, failed)] == ["FINISHED", "FINISHED", "FAILED"]
    assert failed.metrics == {"ap": 0.1}
    assert [it.status for it in Tracker(home).runs("other")] == ["KILLED"]


def test_a_metric_by_day_is_kept_by_its_day(home: Path) -> None:
    tracker = Tracker(home)
    second = tracker.runs("shapes")[1]
    assert tracker.names_by_day(second.id) == ["ap"]
    by_day = tracker.by_day(second.id, "ap")
    assert list(by_day) == [DAY + dt.timedelta(days=it) for it in range(3)]
    assert by_day[DAY] == pytest.approx(0.7)
    assert tracker.by_day(second.id, "auc") == {}


def test_files_are_kept(home: Path) -> None:
    tracker = Tracker(home)
    (path,) = tracker.files_of(tracker.runs("shapes")[1].id)
    assert path.read_text() == "<svg/>"
    assert path.is_relative_to(home)


def test_experiments_are_listed(home: Path, monkeypatch, capsys) -> None:
    lines = shown(home, monkeypatch, capsys).splitlines()
    (line,) = (it for it in lines if "shapes" in it)
    assert " 3 " in line
    assert "FAILED" in line


def test_runs_stand_side_by_side_with_what_differs(home: Path, monkeypatch, capsys) -> None:
    text = shown(home, monkeypatch, capsys, "shapes", "--sort", "ap", "--limit", "2")
    assert "width" in text
    assert "depth" not in text  # the same in both
    assert "aaaaaaaa+" in text
    assert text.index("0.7") < text.index("0.6")
    assert "0.1" not in text


def test_days_stand_side_by_side(home: Path, monkeypatch, capsys) -> None:
    second = Tracker(home).runs("shapes")[1].id
    text = shown(home, monkeypatch, capsys, second[:12], "--by-day", "ap")
    assert [f"2018-08-{day:02}" in text for day in (8, 9, 10, 11)] == [True, True, True, False]
    assert "0.72" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nothing_such"], "no experiment is called so"),
        (["shapes", "--sort", "auc"], "none of these runs has measured it"),
        (["shapes", "--by-day", "auc"], "have by day: ap"),
        (["--by-day", "ap"], "name them"),
    ],
)
def test_what_is_not_there_is_said(home: Path, options, said, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(home))
    assert run(lambda: runs.main(options)) == 2
    assert said in capsys.readouterr().err


def test_nothing_is_told_to_anyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "PYTEST_CURRENT_TEST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    command = [sys.executable, "-c", SILENT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"said": [], "disabled": True, "client": False}
