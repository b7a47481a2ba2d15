"""A backfill that is stopped from outside, for real, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from streams import SPEC, small_stream

from batch_proc import backfill
from batch_proc.errors import SHOWN
from data_connector import SnapshotStore, load
from data_connector.command import run
from fraud_ml.feature_spec_toml import spec_to_toml
from fraud_ml.replica import name_of_snapshots

NAME = name_of_snapshots(SPEC)
Command = Callable[..., list[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command line of a backfill of a history, keeping how far it is at every step."""
    stream = small_stream(0)
    joined = stream.transactions.append_column("is_fraud", stream.labels["is_fraud"])
    load(
        joined.append_column("labelled_at", stream.labels["labelled_at"]),
        str(tmp_path / "history.parquet"),
    )
    (tmp_path / "spec.toml").write_text(spec_to_toml(SPEC))

    def line(store: str, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-m", "batch_proc.backfill"),
            *("--transactions", str(tmp_path / "history.parquet")),
            *("--spec", str(tmp_path / "spec.toml"), "--save-every", "0"),
            *("--feature-store", f"sqlite:///{tmp_path / store}", *arguments),
        ]

    return line


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "FRAUD_HOME": str(home)}


def stored(path: Path) -> bytes | None:
    with closing(SnapshotStore(f"sqlite:///{path}", name=NAME)) as store:
        return store.load()


def done(line: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, env=environment(home), capture_output=True, text=True, check=False)


def stopped(line: list[str], home: Path, number: int) -> tuple[int, str]:
    """Sends a signal when the run has kept how far it is; its exit code and what it said."""
    progress = home / "backfill" / NAME / "progress"
    with subprocess.Popen(
        line, env=environment(home), stderr=subprocess.PIPE, text=True
    ) as process:
        before = None
        for _ in range(2):  # kept anew: it is in the middle
            while process.poll() is None and _stamp(progress) == before:
                os.sched_yield()
            before = _stamp(progress)
        process.send_signal(number)
        assert process.stderr is not None
        said = process.stderr.read()
    return process.returncode, said


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def test_a_killed_one_goes_on_to_the_same_bytes(tmp_path: Path, command: Command) -> None:
    home = tmp_path / "home"
    for _ in range(2):
        status, _ = stopped(command("a.db", "--resume"), home, signal.SIGKILL)
        assert status == -signal.SIGKILL
        assert stored(tmp_path / "a.db") is None
    ended = done(command("a.db", "--resume"), home)
    assert ended.returncode == 0, ended.stderr
    assert "read the history" not in ended.stderr  # that was done before
    undisturbed = done(command("b.db"), tmp_path / "other")
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert stored(tmp_path / "a.db") == stored(tmp_path / "b.db") is not None
    assert not (home / "backfill" / NAME).exists()


def test_one_that_is_interrupted_says_how_to_go_on_and_goes_on_with_the_same_only(
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "home"
    status, said = stopped(command("a.db"), home, signal.SIGTERM)
    assert (status, "with --resume goes on" in said) == (1, True)
    assert stored(tmp_path / "a.db") is None
    folder = home / "backfill" / NAME
    assert folder.stat().st_mode & 0o077 == 0  # payments lie there

    monkeypatch.setenv("FRAUD_HOME", str(home))

    def here(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", command("a.db", *arguments)[2:])
        return run(backfill.main, shown=SHOWN), capsys.readouterr().err

    status, said = here("--resume", "--until", "2018-04-03")
    assert (status, "had other options" in said) == (2, True)
    for damage in ("progress", "plan.json"):
        (folder / damage).write_bytes(b"{}")
        status, said = here("--resume")
        assert (status, f"{damage} is damaged" in said) == (1, True)
    status, said = here()
    assert (status, "read the history" in said) == (0, True)  # anew
