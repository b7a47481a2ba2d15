"""Labels that have newly arrived reach the journal, each once."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch_proc import backfill
from batch_proc.errors import SHOWN
from data_connector import fetch, load, open_journal
from data_connector.atomic import lock
from data_connector.command import run
from fraud_ml import journal_entries

DAY = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
Tell = Callable[..., tuple[int, str, str]]


def labels(*rows: tuple[int, float, bool | None]) -> pa.Table:
    """Each of an id, days, and whether it is a fraud."""
    ids, days, frauds = zip(*rows, strict=True)
    times = pa.array([DAY + dt.timedelta(days=day) for day in days], pa.timestamp("us", tz="UTC"))
    return pa.table({"transaction_id": ids, "is_fraud": frauds, "labelled_at": times})


@pytest.fixture
def source(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'chargebacks.db'}"


@pytest.fixture
def tell(
    home: Path, source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tell:
    """Runs the command; the exit code, and what was said on both."""

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["backfill", "--labels", source, *arguments])
        status = run(backfill.main, shown=SHOWN)
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def told(home: Path) -> list[tuple[Any, Any]]:
    with open_journal(f"sqlite:///{home / 'features.db'}") as journal:
        entries = [journal_entries.decode(entry.value) for entry in journal.since(0)]
    return [pair for e in entries for pair in zip(e.transaction_id, e.is_fraud, strict=True)]


def test_each_label_is_told_once(tell: Tell, source: str, home: Path) -> None:
    load(labels((1, 0, True), (2, 1, False), (3, 5, None)), source, table="labels")
    assert tell() == (0, "3 new labels told\n", "")
    assert tell() == (0, "0 new labels told\n", "")
    load(labels((4, 6, True), (5, 5, False)), source, table="labels", if_exists="append")
    assert tell()[1] == "2 new labels told\n"  # also the one that is no later than the last
    assert tell()[1] == "0 new labels told\n"
    assert sorted(told(home)) == [(1, True), (2, False), (3, None), (4, True), (5, False)]


def test_a_label_that_is_corrected_is_told_again(tell: Tell, source: str, home: Path) -> None:
    load(labels((1, 0, True)), source, table="labels")
    tell()
    load(labels((1, 0.5, False)), source, table="labels", if_exists="replace")
    assert tell()[1] == "1 new labels told\n"
    assert told(home) == [(1, True), (1, False)]


def test_only_what_is_new_is_read(tell: Tell, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load(labels(*((n, n, True) for n in range(50))), source, table="labels")
    tell()
    read = []

    def watched(*arguments: Any, **named: Any) -> Any:
        reader = fetch(*arguments, **named)
        read.append(reader.read_all())
        return pa.RecordBatchReader.from_batches(read[-1].schema, read[-1].to_batches())

    monkeypatch.setattr("data_connector.incremental.fetch", watched)
    load(labels((50, 50, True)), source, table="labels", if_exists="append")
    assert tell()[1] == "1 new labels told\n"
    assert [table["transaction_id"].to_pylist() for table in read] == [[48, 49, 50]]


def test_what_was_told_before_it_was_noted_is_told_again_and_nothing_is_left_out(
    tell: Tell, source: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(labels((1, 0, True), (2, 1, False)), source, table="labels")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("data_connector.IncrementalCursor.commit", killed)
        assert tell()[0] == 1
    load(labels((3, 2, True)), source, table="labels", if_exists="append")
    assert tell()[0] == 0
    assert set(told(home)) == {(1, True), (2, False), (3, True)}


def test_each_feature_store_is_told_all(tell: Tell, source: str, tmp_path: Path) -> None:
    load(labels((1, 0, True)), source, table="labels")
    assert tell()[1] == "1 new labels told\n"
    assert tell("--feature-store", f"sqlite:///{tmp_path / 'b.db'}")[1] == "1 new labels told\n"


def test_of_several_tables_one_is_named(tell: Tell, source: str) -> None:
    load(labels((1, 0, True)), source, table="disputes")
    load(labels((1, 0, True), (2, 0, True)), source, table="chargebacks")
    assert tell()[0] == 1
    assert tell("--labels-table", "chargebacks")[1] == "2 new labels told\n"


def test_what_are_no_labels_is_said_and_not_told(tell: Tell, source: str, home: Path) -> None:
    wrong = labels((1, 0, True)).set_column(1, "is_fraud", pa.array([7]))
    load(wrong, source, table="labels")
    status, _, said = tell()
    assert (status, "must be 0 or 1, got 7" in said) == (1, True)
    load(wrong.drop_columns("is_fraud"), source, table="labels", if_exists="replace")
    status, _, said = tell()
    assert (status, "is_fraud" in said) == (1, True)
    assert told(home) == []


def test_damaged_notes_are_named(tell: Tell, source: str, home: Path) -> None:
    load(labels((1, 0, True)), source, table="labels")
    tell()
    (notes,) = (home / "backfill").glob("*.told.json")
    assert len(json.loads(notes.read_text())) == 1
    notes.write_text("{")
    status, _, said = tell()
    assert (status, f"{notes} is damaged" in said) == (1, True)


def test_two_at_once_are_refused(tell: Tell, source: str, home: Path) -> None:
    load(labels((1, 0, True)), source, table="labels")
    tell()
    (file,) = (home / "backfill").glob("labels-*.lock")
    with file.open() as other:
        assert lock(other.fileno(), wait=False)
        status, _, said = tell()
    assert (status, "another backfill of the same is going on" in said) == (1, True)


@pytest.mark.parametrize("option", [["--until", "2018-04-01"], ["--resume"], ["--model", "1"]])
def test_options_of_a_history_are_wrong_usage(tell: Tell, option: list[str]) -> None:
    status, _, said = tell(*option)
    assert (status, f"{option[0]} is of use with --transactions only" in said) == (2, True)
