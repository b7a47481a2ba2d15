"""The report says which lines did not run, and fails where too few did."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tools.coverage import lcov, report
from tools.coverage.report import Coverage, by_file, by_project, compiled_lines, missed, shortfalls

FILES: dict[str, lcov.Lines] = {
    "ml/a.py": {1: 1, 2: 0, 3: 0, 5: 0, 6: 2},
    "ml/b.py": {1: 1, 2: 1, 3: 1, 4: 1, 5: 1},
    "connectors/c.py": dict.fromkeys(range(1, 11), 1),
}


def test_projects_are_the_folders_at_the_top() -> None:
    assert by_project(by_file(FILES)) == [Coverage("connectors", 10, 10), Coverage("ml", 10, 7)]


def test_nothing_to_run_is_all_run() -> None:
    assert Coverage("ml/__init__.py", 0, 0).percent == 100


@pytest.mark.parametrize(
    ("ran", "found"),
    [
        (90, []),
        (89, ["ml: 89.0 % of its lines ran, 90 % must"]),
    ],
)
def test_ninety_percent_are_enough(ran: int, found: list[str]) -> None:
    assert list(shortfalls([Coverage("ml", 100, ran)], {"ml": 90})) == found


def test_what_was_not_measured_is_no_success() -> None:
    assert list(shortfalls([Coverage("ml", 0, 0)], {"ml": 90, "connectors": 90})) == [
        "connectors was not measured; run: ./bazelw coverage //connectors/...",
        "ml was not measured; run: ./bazelw coverage //ml/...",
    ]


@pytest.mark.parametrize(
    ("lines", "ranges"),
    [
        ({}, ""),
        ({1: 1}, ""),
        (FILES["ml/a.py"], "2-5"),
        ({1: 0, 2: 1, 3: 0, 9: 0, 10: 1, 11: 0}, "1, 3-9, 11"),
    ],
)
def test_lines_that_did_not_run_are_ranges(lines: lcov.Lines, ranges: str) -> None:
    assert missed(lines) == ranges


def test_lines_that_numba_compiles_are_counted() -> None:
    assert compiled_lines("@compiled\ndef f():\n    pass\n\n\ndef g():\n    pass\n") == 2


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml/a.py").write_text("@compiled\ndef f():\n    return 1\n")
    (tmp_path / "report.dat").write_text(lcov.write(FILES))
    return tmp_path


def test_the_exit_code_says_whether_it_was_enough(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["--report", "report.dat", "--files"]) == 1
    said = capsys.readouterr().out
    assert "ml: 70.0 % of its lines ran, 90 % must" in said
    assert "ml/a.py" in said
    assert report.main(["--report", "report.dat", "-p", "connectors"]) == 0
    assert "must" not in capsys.readouterr().out


def test_without_a_measurement_it_says_how_to_get_one(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([]) == 2
    assert "run first: ./bazelw coverage" in capsys.readouterr().err


def test_what_numba_compiles_is_shown_beside(workspace: Path) -> None:
    console = Console(file=io.StringIO(), width=120)
    report.show(FILES, workspace, console, all_files=False)
    rows = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert any("ml" in row and "70.0" in row and " 2 " in row for row in rows)
