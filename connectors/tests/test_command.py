"""Exit codes and folders that all commands share."""

from pathlib import Path

import pytest

from data_connector.command import UsageError, fraud_home, run
from data_connector.errors import ConnectorError


class TheirError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("say it"), 2),
        (ConnectorError("say it"), 1),
        (TheirError("say it"), 1),
        (OSError("say it"), 1),
    ],
)
def test_an_error_for_people_is_one_message(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert run(command, shown=(TheirError,)) == status
    said = capsys.readouterr().err
    assert said.startswith("error: say it")
    assert said.count("\n") == 1


def test_a_bug_keeps_its_traceback() -> None:
    def command() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(command)


def test_paths_are_relative_to_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")  # is put back after the test
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    seen: list[Path] = []
    assert run(lambda: seen.append(Path.cwd())) == 0
    assert seen == [tmp_path]


def test_the_home_is_in_the_workspace_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FRAUD_HOME", raising=False)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    assert fraud_home() == tmp_path / ".fraud"
    monkeypatch.setenv("FRAUD_HOME", "/state")
    assert fraud_home() == Path("/state")
