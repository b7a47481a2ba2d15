"""A model at work, watched end to end: what is an alert, what is not, and what is kept."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from html_page import read_page
from small_watch import (
    CLOSED_FROM,
    DRIFT_FROM,
    END,
    PAYMENTS_A_DAY,
    World,
    shifted,
    shuffled,
    store_model,
    world,
    write,
)

import data_connector
from batch_proc import monitor
from batch_proc.errors import SHOWN
from batch_proc.monitor_alerts import AlertError
from data_connector.command import run
from fraud_ml.metrics import average_precision

Watch = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def stable() -> World:
    return world()


@pytest.fixture
def watch(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Watch:
    """Runs the command as of the world's end; its exit code, and what it said."""

    def command(options: dict[str, str], *arguments: str) -> tuple[int, str]:
        given = {"--as-of": "2018-06-29", "--json": str(home / "numbers.json")} | options
        words = [word for pair in given.items() for word in pair]
        monkeypatch.setattr("sys.argv", ["monitor", *words, *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        status = run(monitor.main, shown=(*SHOWN, AlertError))
        said = capsys.readouterr()
        return status, said.out + said.err

    home.mkdir()
    return command


def numbers(home: Path) -> dict[str, float]:
    rows = json.loads((home / "numbers.json").read_text())
    return {row["name"]: row["value"] for row in rows}


def history(home: Path) -> pa.Table:
    with data_connector.fetch(f"sqlite:///{home}/monitor.db", table="monitor") as reader:
        return reader.read_all()


def test_what_is_stable_is_fine(watch: Watch, stable: World, home: Path, tmp_path: Path) -> None:
    store_model(home, stable)
    status, said = watch(write(tmp_path, stable), "--fail-on-alert")
    assert status == 0, said
    found = numbers(home)
    assert (found["v1:alerts"], found["v1:watches"]) == (0, 0)
    assert found["v1:open_days"] == 7
    closed = stable.during(CLOSED_FROM, DRIFT_FROM)
    assert found["v1:payments"] == found["v1:labelled_payments"] == closed.sum()
    assert found["v1:frauds"] == stable.is_fraud[closed].sum()
    ap = average_precision(stable.is_fraud[closed], stable.score[closed])
    assert found["v1:ap"] == pytest.approx(ap) and ap > 0.6
    assert 0 < found["v1:psi:amount"] < 0.1
    assert "quality: of 2018-06-15 to 2018-06-21; drift: of 2018-06-22 to 2018-06-28" in said
    page = home / "reports/monitor-fraud-2018-06-28.html"
    assert not page.exists()
    read = read_page((home / "reports/monitor-fraud-2018-06-29.html").read_text())
    assert "0 alerts as of 2018-06-29 00:00 UTC." in read.text
    assert "7 days with" in read.text
    assert {"Alerts", "Day by day", "Drift of the features", "Calibration"} <= set(read.titles)
    assert "Average precision" in dict(read.pictures)


CHANGES = {
    "psi:amount": lambda it: shifted(it, DRIFT_FROM, END, amount=2.0),
    "psi:score": lambda it: shifted(it, DRIFT_FROM, END, score=30.0),
    "ap": lambda it: shuffled(it, CLOSED_FROM, DRIFT_FROM),
    "calibration_error": lambda it: shifted(it, CLOSED_FROM, DRIFT_FROM, score=0.4),
}


@pytest.mark.parametrize("measure", CHANGES)
def test_what_changes_is_an_alert(
    watch: Watch, stable: World, home: Path, tmp_path: Path, measure: str
) -> None:
    store_model(home, stable)
    options = write(tmp_path, CHANGES[measure](stable))
    status, said = watch(options, "--fail-on-alert")
    assert status == 1
    assert f"{measure} " in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("error: ")
    read = read_page((home / "reports/monitor-fraud-2018-06-29.html").read_text())
    assert "0 alerts" not in read.text and "■ alert" in read.text.replace("  ", " ")
    assert watch(options)[0] == 0  # without --fail-on-alert, cron is told nothing
    assert numbers(home)["v1:alerts"] >= 1


def test_thresholds_decide(watch: Watch, stable: World, home: Path, tmp_path: Path) -> None:
    store_model(home, stable)
    options = write(tmp_path, shifted(stable, DRIFT_FROM, END, amount=2.0))
    limits = tmp_path / "limits.toml"
    for text, status in (
        ('drift_ignored = ["amount"]', 0),
        ("psi_alert = 5.0", 0),
        ("min_payments = 100_000", 0),
        ('ap_min = 0.99\ndrift_ignored = ["amount"]', 1),
        ('card_precision_min = 0.99\ndrift_ignored = ["amount"]', 1),
    ):
        limits.write_text(text)
        found = watch(options | {"--thresholds": str(limits)}, "--fail-on-alert")
        assert found[0] == status, (text, found[1])


def test_labels_do_not_count_before_their_time(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable)
    labels = stable.labels()
    closed = pa.array(stable.during(CLOSED_FROM, DRIFT_FROM))
    late = pa.array(np.arange(labels.num_rows) % 4 == 0)  # investigators need three weeks for these
    times = pc.if_else(
        pc.and_(closed, late),
        pc.add(labels["labelled_at"], pa.scalar(dt.timedelta(days=14))),
        labels["labelled_at"],
    )
    data_connector.load(
        labels.set_column(2, "labelled_at", times), options["--labels"], if_exists="replace"
    )
    status, said = watch(options)
    assert status == 0
    found = numbers(home)
    expected = stable.during(CLOSED_FROM, DRIFT_FROM) & (np.arange(labels.num_rows) % 4 != 0)
    assert found["v1:labelled_payments"] == expected.sum()
    assert found["v1:frauds"] == stable.is_fraud[expected].sum()
    assert found["v1:labelled"] == pytest.approx(0.75, abs=0.02)
    assert "watch" in said  # three in four is less than labelled_min

    first_week = {"--as-of": "2018-06-12T18:00:00+02:00", "--days": "3"}
    assert watch(options | first_week)[0] == 0
    found = numbers(home)  # 16:00 UTC: closed are June 1 to 4, of which the last three are judged
    rows = stable.during(END - dt.timedelta(days=27), END - dt.timedelta(days=24))
    assert found["v1:payments"] == rows.sum()
    assert found["v1:open_days"] == 7


def test_the_newest_verdict_that_is_known_counts(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable)
    closed = np.flatnonzero(stable.during(CLOSED_FROM, DRIFT_FROM))
    frauds = closed[stable.is_fraud[closed]]
    labels = stable.labels()
    revised = labels.take(frauds[:30])  # ten acquitted in time, twenty afterwards
    times = [END - dt.timedelta(days=1)] * 10 + [END + dt.timedelta(days=1)] * 20
    revised = pa.table(
        {
            "transaction_id": revised["transaction_id"],
            "is_fraud": pa.array([False] * 30),
            "labelled_at": pa.array(times, pa.timestamp("us", tz="UTC")),
        }
    )
    both = pa.concat_tables([revised, labels])
    data_connector.load(both, options["--labels"], if_exists="replace")
    assert watch(options)[0] == 0
    assert numbers(home)["v1:frauds"] == len(frauds) - 10


def test_the_history_keeps_each_day_once(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable)
    watch(options)
    first = history(home).sort_by([("day", "ascending"), ("measure", "ascending")])
    watch(options)
    assert history(home).sort_by([("day", "ascending"), ("measure", "ascending")]) == first
    days = first.filter(pc.equal(first["measure"], "payments"))
    starts = [CLOSED_FROM + dt.timedelta(days=n) for n in range(15)]
    assert days["value"].to_pylist() == [
        stable.during(start, end).sum() for start, end in pairwise(starts)
    ]
    assert sum(days["value"].to_pylist()) == pytest.approx(14 * PAYMENTS_A_DAY, rel=0.05)
    of_quality = first.filter(pc.equal(first["measure"], "ap"))
    assert of_quality["day"].to_pylist()[-1] == dt.date(2018, 6, 21)
    watch(options | {"--as-of": "2018-07-01"})
    later = history(home)
    of_quality = later.filter(pc.equal(later["measure"], "ap"))
    assert max(of_quality["day"].to_pylist()) == dt.date(2018, 6, 23)
    assert later.num_rows > first.num_rows
    keys = list(zip(*(later[name].to_pylist() for name in ("day", "measure")), strict=True))
    assert len(set(keys)) == len(keys)


def test_the_log_of_decisions_is_enough(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable)
    url = f"sqlite:///{tmp_path}/decisions.db"
    log = stable.log()
    # A retry wrote these twice; and before, a worker had scored them without their history.
    early = log.slice(0, 10_000)
    early = early.set_column(2, "score", pa.array(np.full(10_000, 0.5))).set_column(
        early.column_names.index("scored_at"),
        "scored_at",
        pc.subtract(early["scored_at"], pa.scalar(dt.timedelta(seconds=1))),
    )
    data_connector.load(pa.concat_tables([log, early, log.slice(0, 500)]), url, table="decisions")
    data_connector.load(log.slice(0, 1), url, table="other")
    assert watch({"--scores": url, "--labels": options["--labels"]})[0] == 0
    bare = numbers(home)
    assert bare["v1:payments"] == stable.during(CLOSED_FROM, DRIFT_FROM).sum()
    assert "v1:cp100" not in bare and "v1:psi:amount" not in bare
    assert watch({**options, "--scores": url})[0] == 0
    joined = numbers(home)
    assert watch(options)[0] == 0
    whole = numbers(home)
    assert joined == whole
    assert bare["v1:ap"] == whole["v1:ap"]


def test_a_folder_by_days_and_the_other_names_of_columns_do(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable)
    scores = stable.scores()
    names = {"model": "model_name", "version": "model_version"}
    scores = scores.rename_columns([names.get(name, name) for name in scores.column_names])
    day = pc.strftime(scores["timestamp"], "%Y-%m-%d")
    for value in day.unique().to_pylist():
        folder = tmp_path / "out" / f"day={value}"
        folder.mkdir(parents=True)
        part = scores.filter(pc.equal(day, value))
        data_connector.load(part, str(folder / "part.parquet"))
    assert watch(options)[0] == 0
    whole = numbers(home)
    assert watch(options | {"--scores": str(tmp_path / "out")})[0] == 0
    assert numbers(home) == whole


def test_each_version_is_judged_by_itself(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable, lineage={"commit": "<script>alert(1)</script>"})
    store_model(home, stable)
    options = write(tmp_path, stable)
    worse = shuffled(stable, CLOSED_FROM, DRIFT_FROM)
    both = pa.concat_tables([stable.scores(), worse.scores(version=2)])
    data_connector.load(both, options["--scores"], if_exists="replace")
    status, said = watch(options, "--fail-on-alert")
    assert status == 1 and "(version 2" in said and "(version 1" not in said
    found = numbers(home)
    assert found["v1:alerts"] == 0 and found["v2:alerts"] >= 1
    assert found["v1:frauds"] == found["v2:frauds"] > 0
    read = read_page((home / "reports/monitor-fraud-2018-06-29.html").read_text())
    assert "Version 2: Calibration" in read.titles
    assert "<script>alert(1)</script>" in read.text
    assert watch(options, "--version", "1", "--fail-on-alert")[0] == 0


def test_a_password_is_not_shown(
    watch: Watch, stable: World, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable)
    url = f"file://{options['--labels']}"
    assert watch({**options, "--labels": url})[0] == 0
    status, said = watch({**options, "--labels": "postgresql://me:secret@127.0.0.1:1/labels"})
    assert status == 1 and "secret" not in said and "127.0.0.1" in said


def test_a_history_in_another_database_and_pages_where_they_are_wanted(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable)
    url, page = f"sqlite:///{tmp_path}/kept.db", tmp_path / "page.html"
    assert watch(options | {"--history": url, "--report": str(page)})[0] == 0
    assert data_connector.list_tables(url) == ["monitor"]
    assert not (home / "monitor.db").exists()
    assert "fraud at work" in read_page(page.read_text()).text
    assert not list(tmp_path.glob("*.tmp"))


def test_days_that_nobody_labelled_are_told(
    watch: Watch, stable: World, home: Path, tmp_path: Path
) -> None:
    store_model(home, stable)
    options = write(tmp_path, replace(stable, is_fraud=np.zeros_like(stable.is_fraud)))
    status, said = watch(options)
    assert status == 0
    assert "0 frauds, min_frauds is 20" in said
    data_connector.load(stable.labels().slice(0, 10), options["--labels"], if_exists="replace")
    status, said = watch(options)
    assert status == 0
    assert "0 labelled payments, min_payments is 1,000" in said
    read = read_page((home / "reports/monitor-fraud-2018-06-29.html").read_text())
    assert "No fraud is known among these payments" in read.text
