"""Benchmarks are fair and say what they found."""

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tools.bench import harness
from tools.bench.harness import Result, in_turn


def test_contenders_take_turns_after_a_warm_up() -> None:
    order: list[str] = []
    contenders = {"ours": lambda: order.append("ours"), "peer": lambda: order.append("peer")}
    seconds = in_turn(contenders, rounds=2)
    assert order == ["ours", "peer"] * 3
    assert all(taken >= 0 for taken in seconds.values())


def test_the_median_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 19.0, 20.0, 22.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert in_turn({"ours": lambda: None}, rounds=3) == {"ours": 2.0}


def test_results_go_to_people_and_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", "--quick", "--json", "out.json"])
    quick: list[bool] = []

    def benchmark(is_quick: bool) -> list[Result]:  # noqa: FBT001
        quick.append(is_quick)
        return [Result(name="speed", value=1234.5, unit="rows/s", peer="pandas", ratio=150.0)]

    harness.main(benchmark, description="")
    assert quick == [True]
    assert "150.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text()) == [
        {"name": "speed", "value": 1234.5, "unit": "rows/s", "peer": "pandas", "ratio": 150.0}
    ]


def test_a_file_that_cannot_be_written_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--json", "/nowhere/out.json"])
    with pytest.raises(SystemExit) as ended:
        harness.main(lambda _: pytest.fail("it ran"), description="")
    assert ended.value.code == 2


def test_names_and_values_stay_whole_on_a_narrow_terminal() -> None:
    name, peer = "features_and_score_default_exchanged", "Spark windows, pandas_udf"
    results = [Result(name=name, value=12_345_678, unit="bytes/row", peer=peer, ratio=10.0)]
    shown = StringIO()
    Console(width=80, file=shown).print(harness.as_table(results))
    assert all(whole in shown.getvalue() for whole in (name, "12,345,678", "bytes/row", "10.0"))
