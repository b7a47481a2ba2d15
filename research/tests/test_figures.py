"""The figure beside each report is the one that the report's numbers give."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from batch_proc.errors import SHOWN
from data_connector.command import run
from experiments import figures
from experiments.study import Study
from experiments.sweep import FIGURE, Sweep, draw_report, log_values

RESEARCH = Path(__file__).parent.parent / "experiments"
SWEEP = Sweep(
    points={"1d": "one day", "7d": "a week"},
    series={"ap": "ours", "oracle_ap": "oracle"},
    baseline="7d",
    title="title",
    x="days",
)
VALUES = {"ap": [[0.5, 0.7], [0.8, 0.8]], "oracle_ap": [[0.9, 0.9], [0.9, 0.9]]}


def study(folder: Path) -> Study:
    return Study(name="it", parameters={}, seed=0, small=True, folder=folder)


def test_what_is_logged_is_mean_deviation_and_change_within_each_seed(tmp_path: Path) -> None:
    it = study(tmp_path)
    SWEEP.log(it, VALUES)
    logged = {name: metric.value for name, metric in it.metrics.items()}
    assert logged["ap_1d"] == pytest.approx(0.6)
    assert logged["ap_1d_sd"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert logged["ap_1d_change"] == pytest.approx(-0.2)
    assert logged["ap_1d_change_sd"] == pytest.approx(np.std([-0.3, -0.1], ddof=1))
    assert logged["oracle_ap_1d_change"] == 0
    assert "ap_7d_change" not in logged
    assert len(logged) == 2 * (2 + 2 + 2)


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    it = study(tmp_path)
    SWEEP.log(it, {name: np.array(rows)[:, :1] for name, rows in VALUES.items()})
    assert it.metrics["ap_1d_sd"].value == 0


def test_a_seed_without_a_value_is_left_out(tmp_path: Path) -> None:
    it = study(tmp_path)
    log_values(it, "share", np.array([0.25, np.nan, 0.75]))
    log_values(it, "nothing", np.array([np.nan, np.nan]))
    logged = {name: metric.value for name, metric in it.metrics.items()}
    assert logged["share"] == 0.5
    assert logged["share_sd"] == pytest.approx(np.std([0.25, 0.75], ddof=1))
    assert (logged["nothing"], logged["nothing_sd"]) == (0, 0)


def test_values_of_other_points_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ap: 1 points, must be 2"):
        SWEEP.log(study(tmp_path), {"ap": [[0.5]], "oracle_ap": [[0.5], [0.5]]})


def test_a_figure_depends_on_its_numbers_alone(tmp_path: Path) -> None:
    it = study(tmp_path / "a")
    SWEEP.finish(it, VALUES)
    drawn = (tmp_path / "a" / FIGURE).read_bytes()
    metrics = [
        {"name": metric.name, "value": metric.value, "unit": ""} for metric in it.metrics.values()
    ]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"metrics": metrics}), encoding="utf-8")
    draw_report(SWEEP, report, tmp_path / FIGURE)
    assert (tmp_path / FIGURE).read_bytes() == drawn
    assert b"one day" in drawn  # text is text
    metrics[0]["value"] += 0.1
    report.write_text(json.dumps({"metrics": metrics}), encoding="utf-8")
    draw_report(SWEEP, report, tmp_path / FIGURE)
    assert (tmp_path / FIGURE).read_bytes() != drawn


def test_the_command_draws_what_lies_beside_each_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = sorted(RESEARCH.glob("*/report.json"))
    for report in reports:
        folder = tmp_path / figures.FOLDER / report.parent.name
        folder.mkdir(parents=True)
        for file in ("report.json", "experiment.py"):
            if (report.parent / file).exists():
                shutil.copy(report.parent / file, folder / file)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["figures"])
    assert run(figures.main, shown=SHOWN) == 0
    shown = capsys.readouterr().out
    drawn = sorted(tmp_path.rglob(FIGURE))
    assert [it.parent.name for it in drawn] == [
        it.parent.name for it in sorted(RESEARCH.glob(f"*/{FIGURE}"))
    ]
    assert len(drawn) >= 6
    for figure in drawn:
        name = figure.parent.name
        assert figure.read_bytes() == (RESEARCH / name / FIGURE).read_bytes(), name
        assert f"{figures.FOLDER / name / FIGURE}\n" in shown
