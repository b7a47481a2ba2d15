"""The report counts what Bazel did, in clones only, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.ci import report
from tools.ci.report_bazel import SETTLING, Measured, measured

LEAF, LIBRARY = "research/experiments/table.py", "ml/fraud_ml/metrics.py"
LOCKED = "hypothesis==6.2.0 \\\n    --hash=sha256:00\n"

# Notes its call, and tells Bazel's events. FAIL names the command that fails.
BAZELW = """\
#!/bin/sh
PATH=/usr/bin:/bin
log={log}
echo "$FRAUD_CACHE_URL|$(git diff --stat | tail -n 1)|$*" >> $log
case "$*" in
*" $FAIL "*) exit 3 ;;
*requirements.update*) echo "hypothesis==6.1.0" > requirements_lock.txt ;;
esac
for argument; do
    case $argument in --build_event_json_file=*) cp {events} "${argument#*=}" ;; esac
done
"""


def ran_test(label: str, **told: Any) -> dict[str, Any]:
    return {"id": {"testResult": {"label": label}}, "testResult": told}


def metrics(**runners: int) -> dict[str, Any]:
    counts = [
        {"name": name.replace("_", " ").replace("linux sandbox", "linux-sandbox"), "count": count}
        for name, count in runners.items()
    ]
    return {"id": {"buildMetrics": {}}, "buildMetrics": {"actionSummary": {"runnerCount": counts}}}


EVENTS = [
    ran_test("//a:ran"),
    ran_test("//a:local", cachedLocally=True),
    ran_test("//a:remote", executionInfo={"cachedRemotely": True}),
    ran_test("//a:sharded", executionInfo={"cachedRemotely": True}),
    ran_test("//a:sharded", executionInfo={"strategy": "linux-sandbox"}),
    metrics(total=19, internal=9, remote_cache_hit=6, linux_sandbox=3, worker=1),
]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose Bazel only notes how it was called."""
    tree = tmp_path / "workspace"
    for name in (LEAF, LIBRARY):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text("committed = 1\n")
    (tree / "requirements_lock.txt").write_text(LOCKED)
    events = tmp_path / "events"
    events.write_text("\n".join(json.dumps(event) for event in EVENTS))
    bazelw = tree / "bazelw"
    bazelw.write_text(
        BAZELW.replace("{log}", str(tmp_path / "log")).replace("{events}", str(events))
    )
    bazelw.chmod(0o755)
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@x.invalid", "commit", "--quiet", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=tree, check=True)
    (tree / LEAF).write_text("not_committed = 1\n")
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tree))
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("FAIL", "nothing")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clones").mkdir()
    return tree


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["report", "--folder", "clones", *options])
    return report.main()


def test_actions_hits_and_tests_are_counted_from_bazels_events() -> None:
    row = measured("x", 1.5, [json.dumps(event) for event in EVENTS])
    assert (row.actions, row.hits, row.hit_rate) == (4, 6, 0.6)
    assert row.tests == ("//a:ran", "//a:sharded") and row.cached_tests == 2


def test_without_a_lookup_there_is_no_hit_rate() -> None:
    assert measured("x", 1.0, [json.dumps(metrics(total=2, internal=2))]).hit_rate is None


def test_changes_are_measured_one_after_the_other_and_a_fresh_clone_last(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--targets", "//a/...", "--json", "rows.json") == 0
    calls = [line.split("|") for line in (workspace.parent / "log").read_text().splitlines()]
    tests = [
        (
            changed.split(" file")[0].strip(),
            "--config=ci" in arguments,
            "--build_event_json_file" in arguments,
        )
        for _, changed, arguments in calls
        if " test " in arguments
    ]
    assert tests == [
        ("", True, True),
        ("", True, True),
        *[("", True, False)] * (SETTLING + 1),  # the last of which is timed
        ("", True, True),
        ("1", True, True),
        ("2", True, True),
        ("3", True, True),
        ("", False, True),
    ]
    assert any(arguments.endswith("-P hypothesis<6.2.0") for _, _, arguments in calls)
    assert all(arguments.endswith("-- //a/...") for *_, arguments in calls if " test " in arguments)
    assert all(url.startswith("http://127.0.0.1:") for url, *_ in calls)
    rows = json.loads((workspace.parent / "rows.json").read_text())
    assert [row["name"] for row in rows] == [
        report.COLD,
        report.FIRST_NO_OP,
        report.NO_OP,
        report.LEAF,
        report.LIBRARY,
        report.LOCK,
        report.FRESH,
    ]
    assert rows[0]["hit_rate"] == 0.6
    assert "60.0%" in capsys.readouterr().out


def test_the_users_tree_is_left_alone_and_no_clone_is_left(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "--quick") == 0
    assert (workspace / LEAF).read_text() == "not_committed = 1\n"
    assert (workspace / "requirements_lock.txt").read_text() == LOCKED
    assert list((workspace.parent / "clones").iterdir()) == []


def test_tests_that_fail_end_it_and_no_clone_is_left(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAIL", "test")
    assert run(monkeypatch, "--quick") == 1
    assert "failed with 3: what is measured must pass" in capsys.readouterr().err
    assert list((workspace.parent / "clones").iterdir()) == []


def test_what_was_measured_before_a_failure_is_told_and_written(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--json", "rows.json", "--package", "gone") == 1
    rows = json.loads((workspace.parent / "rows.json").read_text())
    measured_before = [report.COLD, report.FIRST_NO_OP, report.NO_OP, report.LEAF, report.LIBRARY]
    assert [row["name"] for row in rows] == measured_before
    output = capsys.readouterr()
    assert "library edit" in output.out and "does not lock gone" in output.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--leaf", "gone.py"], "gone.py is not in the last commit"),
        (["--package", "gone"], "does not lock gone"),
    ],
)
def test_what_cannot_be_edited_is_told(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    assert run(monkeypatch, *options) == 1
    assert told in capsys.readouterr().err


def row(name: str, seconds: float, *, hits: int = 0, tests: tuple[str, ...] = ()) -> Measured:
    return Measured(
        name=name, seconds=seconds, actions=100 - hits, hits=hits, tests=tests, cached_tests=0
    )


def test_the_aims_are_compared_with_what_was_found() -> None:
    rows = [
        row(report.COLD, 100),
        row(report.FIRST_NO_OP, 5.0),
        row(report.NO_OP, 0.9),
        row(report.LEAF, 5, tests=("//research:lint", "//research/tests:test_table")),
        row(report.FRESH, 10, hits=95),
    ]
    assert all(aim.startswith("reached") for aim in report.aims(rows, LEAF))
    rows[1:] = [
        row(report.FIRST_NO_OP, 0.5),
        row(report.NO_OP, 1.0),
        row(report.LEAF, 5, tests=("//research:lint", "//ml:lint")),
        row(report.FRESH, 10.1, hits=94),
    ]
    missed = report.aims(rows, LEAF)
    assert all(aim.startswith("MISSED") for aim in missed)
    assert "//ml:lint" in missed[3] and "9.9 times" in missed[1]
