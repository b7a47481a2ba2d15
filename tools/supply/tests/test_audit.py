"""The audit finds each vulnerability of a locked version once, and lets pass what may be."""

import datetime as dt
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tools.requirements.lock import CHOSEN, Pin, read_lock
from tools.supply import audit
from tools.supply.audit import Audit, Ignored, read_ignored
from tools.supply.errors import SupplyError

TODAY = dt.date(2026, 11, 30)
PINS = {
    name: Pin(name, version, ("sha256:ab",), (CHOSEN,))
    for name, version in [("requests", "2.19.1"), ("torch", "2.13.0+cpu")]
}


def record(identifier: str, package: str, *, fixed: str, **more: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "modified": "2026-11-01T00:00:00Z",
        "summary": "It leaks",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}
                ],
            }
        ],
    } | more


LEAK = record("PYSEC-2018-28", "requests", fixed="2.20.0", aliases=["CVE-2018-18074", "GHSA-x84v"])
SAME = record("GHSA-x84v", "Requests", fixed="2.20.0", aliases=["CVE-2018-18074"])
OTHERS = [
    record("PYSEC-1", "requests", fixed="2.19.1"),
    record("PYSEC-2", "torch", fixed="2.13.0"),
    record("PYSEC-3", "django", fixed="99"),
]


def entry(identifier: str = "CVE-2018-18074", *, until: dt.date = TODAY) -> Ignored:
    return Ignored(identifier, "requests", "never called", until)


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def]
    def result(*records: dict[str, Any], ignored: tuple[Ignored, ...] = ()) -> Audit:
        path = tmp_path / "list.json"
        path.write_text(json.dumps(records))
        return audit.audit(PINS, path, ignored, today=TODAY)

    return result


def shown(result: Audit) -> str:
    console = Console(file=io.StringIO(), width=200)
    audit.show(result, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_what_two_lists_describe_is_found_once(run) -> None:  # type: ignore[no-untyped-def]
    result = run(SAME, *OTHERS, LEAK)
    assert [each.vulnerability.id for each in result.found] == ["PYSEC-2018-28"]
    text = shown(result)
    for part in ("requests", "2.19.1", "CVE-2018-18074", "2.20.0", "It leaks"):
        assert part in text
    assert "found 1, by 5 records, the newest of 2026-11-01T00:00:00Z" in text


def test_a_lock_without_any_has_none(run) -> None:  # type: ignore[no-untyped-def]
    result = run(*OTHERS)
    assert result.found == []
    assert shown(result).startswith("found 0, by 3 records")


def test_an_empty_list_finds_nothing_and_says_so(run) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SupplyError, match="has no record"):
        run()


@pytest.mark.parametrize("name", ["PYSEC-2018-28", "GHSA-x84v", "CVE-2018-18074"])
def test_it_is_ignored_by_any_of_its_names_to_the_last_day(run, name) -> None:  # type: ignore[no-untyped-def]
    result = run(LEAK, ignored=(entry(name),))
    assert result.found == []
    assert "ignored: requests PYSEC-2018-28: never called (until 2026-11-30)" in shown(result)


def test_after_that_day_it_counts_again(run) -> None:  # type: ignore[no-untyped-def]
    result = run(LEAK, ignored=(entry(until=TODAY - dt.timedelta(days=1)),))
    assert len(result.found) == 1
    assert "no longer ignored: requests CVE-2018-18074, since 2026-11-29" in shown(result)


def test_an_entry_for_nothing_is_named(run) -> None:  # type: ignore[no-untyped-def]
    result = run(*OTHERS, ignored=(entry(),))
    assert "requests CVE-2018-18074 is in no locked version" in shown(result)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id = "X"\npackage = "a"\nuntil = 2027-01-01', "has id, package, reason, until"),
        ('id = "X"\npackage = "a"\nreason = " "\nuntil = 2027-01-01', "X is ignored for no reason"),
        ('id = "X"\npackage = "a"\nreason = "b"\nuntil = "soon"', "until is a day.*got 'soon'"),
        ('id = "X"\npackage = "a"\nreason = "b"\nuntil = 2027-01-01T00:00:00Z', "until is a day"),
        ("id =", "Invalid value"),
    ],
)
def test_an_entry_needs_a_reason_and_a_day(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ignored.toml").write_text(f"[[ignored]]\n{text}\n")
    with pytest.raises(SupplyError, match=message):
        read_ignored(tmp_path / "ignored.toml")


def test_an_entry_is_read(tmp_path: Path) -> None:
    entries = '[[ignored]]\nid = "X"\npackage = "A_b"\nreason = "why"\nuntil = 2027-01-01\n'
    (tmp_path / "ignored.toml").write_text(entries)
    assert read_ignored(tmp_path / "ignored.toml") == [
        Ignored("X", "a-b", "why", dt.date(2027, 1, 1))
    ]


def test_the_repository_s_own_entries_are_of_locked_packages() -> None:
    pins = read_lock(Path("requirements_lock.txt").read_text(encoding="utf-8"))
    assert {each.package for each in read_ignored(audit.IGNORED)} <= set(pins)


@pytest.mark.parametrize(
    ("records", "status"),
    [([LEAK], 1), (OTHERS, 0), ([], 2)],
)
def test_the_exit_code_says_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]], status: int
) -> None:
    lock = "requests==2.19.1 \\\n    --hash=sha256:ab\n    # via -r requirements.in\n"
    (tmp_path / "lock.txt").write_text(lock)
    (tmp_path / "list.json").write_text(json.dumps(records))
    (tmp_path / "ignored.toml").touch()
    monkeypatch.setattr(audit, "LOCK", tmp_path / "lock.txt")
    monkeypatch.setattr(audit, "IGNORED", tmp_path / "ignored.toml")
    # As `bazel run` does: relative paths are of the folder where the user is.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["audit", "--vulnerabilities", "list.json"])
    assert audit.main() == status


def test_without_a_list_the_usage_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["audit"])
    with pytest.raises(SystemExit) as ended:
        audit.main()
    assert ended.value.code == 2
