"""What Bazel says to a test reaches pytest."""

from pathlib import Path

import pytest
import runner

BAZELS = ("XML_OUTPUT_FILE", "TEST_TMPDIR", "TESTBRIDGE_TEST_ONLY")


@pytest.fixture(autouse=True)
def outside_of_bazel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BAZELS:
        monkeypatch.delenv(name, raising=False)


def test_the_report_goes_where_bazel_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XML_OUTPUT_FILE", "/logs/test.xml")
    assert runner.options()[-2:] == ["--junitxml", "/logs/test.xml"]


def test_temporary_folders_are_the_tests_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TMPDIR", "/own")
    assert runner.options()[-2:] == ["--basetemp", "/own/pytest"]


def test_a_filter_selects_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBRIDGE_TEST_ONLY", "rate")
    assert runner.options()[-2:] == ["-k", "rate"]


def test_run_by_hand_it_needs_nothing_of_bazel() -> None:
    assert runner.options() == ["-c", "tools/pytest/pytest.ini", "--rootdir", str(Path.cwd())]


def test_a_warning_is_an_error(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getini("filterwarnings")[0] == "error"
