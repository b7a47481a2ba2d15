"""The figures of SCALE.md are those that the bench's file gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scale import (
    BEGIN,
    END,
    LOOKBACK_DAYS,
    NOT_MEASURED,
    Assumed,
    Measured,
    main,
    measured_from,
    plan,
    reckoned,
    with_tables,
)

BENCH = Path(__file__).parent
PAGE = BENCH.parent / "SCALE.md"

FOUND = {
    "rows": 1e7,
    "cores": 2,
    "history_bytes": 25,
    "score": 400_000,
    "features_and_score_default": 200_000,
    "features_and_score_default_exchanged": 100,
    "features_and_score_default_memory": 4_000,
}
RESULTS = [{"name": name, "value": value} for name, value in FOUND.items()]


def test_the_page_says_what_the_file_gives() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page, reckoned(BENCH / "measured.json", Assumed())) == page


def test_a_plan_is_simple_arithmetic() -> None:
    assert LOOKBACK_DAYS == 90  # the longest window of the default spec
    measured = measured_from(RESULTS)
    assert measured == Measured(
        rows=1e7, a_core=100_000, scored_a_core=200_000, read=25, exchanged=100, megabytes=2_000
    )
    found = plan(measured, Assumed(efficiency=0.5, price=0.1, cores=10, disk=100), 3)
    assert found.rows == 93e9
    assert found.core_hours == pytest.approx(93e9 / 100_000 / 3_600 / 0.5)  # 516.7
    assert found.machines == 52
    assert found.cost == pytest.approx(51.67, abs=0.01)
    assert found.cost_a_billion == pytest.approx(17.22, abs=0.01)
    assert (found.read, found.exchanged) == (2.325e12, 9.3e12)
    assert found.network_minutes == pytest.approx(20.925e12 / 52 / 1.25e9 / 60)
    assert found.disk_minutes == pytest.approx(20.925e12 / 52 / 1e8 / 60)
    assert found.pieces == 93_000 * 372_000


def test_more_hours_need_fewer_machines_at_the_same_price() -> None:
    measured = measured_from(RESULTS)
    short, long = (plan(measured, Assumed(hours=hours), 7) for hours in (1, 4))
    assert long.cost == short.cost
    assert short.machines / 4 <= long.machines <= short.machines / 4 + 1


def test_the_command_writes_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    page, file = tmp_path / "page.md", tmp_path / "found.json"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    file.write_text(json.dumps(RESULTS))
    main(["--json", str(file), "--price", "0.2", "--write", str(page)])
    written = page.read_text()
    assert written.startswith(f"before\n{BEGIN}| measured")
    assert written.endswith(f"{END}after\n")
    assert "| price of a core for an hour, USD | 0.2 |" in written
    main(["--json", str(file), "--price", "0.2"])
    assert capsys.readouterr().out in written
    main(["--json", "none.json"])
    assert capsys.readouterr().out == NOT_MEASURED


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--json", "short.json"], "the results lack 'cores'"),
        (["--price", "0"], "must be positive"),
        (["--json", "found.json", "--write", "page.md"], "lacks the lines"),
    ],
)
def test_what_cannot_be_used_is_said(
    arguments: list[str],
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found.json").write_text(json.dumps(RESULTS))
    (tmp_path / "short.json").write_text("[]")
    (tmp_path / "page.md").write_text("no marks\n")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert error in capsys.readouterr().err
