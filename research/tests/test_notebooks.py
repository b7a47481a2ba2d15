"""The notebooks of the lab run from end to end, and are kept as marimo would save them."""

import subprocess
import sys
from pathlib import Path

import pytest
from notebooks import runs_page, tour

from experiments.tracking import Tracker

FOLDER = Path(tour.__file__).parent


def test_the_tour_ends_with_served_and_batch_scores_that_are_the_same() -> None:
    _, found = tour.app.run()
    assert found["reached"]["auc"] > 0.7
    assert found["reached"]["ap"] > 0.3
    assert found["reasons"]
    assert found["policy"].review_above < found["policy"].decline_above
    assert len(found["served"]) == found["history"].transactions.num_rows
    assert found["difference"] < 1e-6
    found["home"].cleanup()


def test_the_page_of_runs_shows_those_that_are_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    _, nothing = runs_page.app.run()
    assert nothing["runs"] == []
    with Tracker(tmp_path).run("shapes", {"width": 3}, commit="abc") as kept:
        kept.log("ap", 0.5)
    _, found = runs_page.app.run()
    assert [it.metrics for it in found["runs"]] == [{"ap": 0.5}]
    assert [it.id for it in found["selected"]] == [kept.id]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda it: it.stem)
def test_a_notebook_is_as_marimo_saves_it(path: Path) -> None:
    command = [sys.executable, "-m", "marimo", "check", "--strict", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
