"""The command: from a history to a stored state, or one message that says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from streams import SPEC, columns_of, small_stream

from batch_proc import backfill
from batch_proc.errors import SHOWN
from data_connector import SnapshotStore, load
from data_connector.atomic import lock
from data_connector.command import run
from fraud_ml.default_specs import handbook_spec
from fraud_ml.feature_spec_toml import spec_to_toml
from fraud_ml.feature_state import FeatureState
from fraud_ml.replica import Replica, name_of_snapshots

STREAM = small_stream(0)
PAYMENTS, LABELS = STREAM.transactions, STREAM.labels
NAME = name_of_snapshots(SPEC)

Backfill = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Backfill:
    """Runs it for the thirty features; the exit code, and what was said on both."""
    spec = tmp_path / "spec.toml"
    spec.write_text(spec_to_toml(SPEC))

    def backfilled(*arguments: str, features: tuple[str, ...] = ("--spec", str(spec))) -> Any:
        monkeypatch.setattr("sys.argv", ["backfill", *features, *arguments])
        status = run(backfill.main, shown=SHOWN)
        said = capsys.readouterr()
        return status, said.out, said.err

    return backfilled


def stored(home: Path) -> Replica | None:
    if not (home / "features.db").exists():
        return None
    with closing(SnapshotStore(f"sqlite:///{home / 'features.db'}", name=NAME)) as store:
        content = store.load()
    return None if content is None else Replica.from_bytes(content, SPEC)


def lived() -> Replica:
    """What a service would have that was told each label when it was known."""
    replica = Replica(FeatureState(SPEC))
    times = LABELS["labelled_at"]
    ordered = LABELS.sort_by("labelled_at")
    for row in range(PAYMENTS.num_rows):
        now = PAYMENTS["timestamp"][row]
        replica.state.apply_labels(ordered.filter(pc.less_equal(ordered["labelled_at"], now)))
        replica.count(columns_of(PAYMENTS.slice(row, 1)))
    assert pc.max(times).as_py() > PAYMENTS["timestamp"][-1].as_py()
    replica.state.apply_labels(ordered)
    return replica


def same(found: Replica | None, expected: Replica) -> None:
    """Fails unless both find the same of payments that come later."""
    assert found is not None
    later = columns_of(PAYMENTS)
    later["transaction_id"] = [name + 1_000_000 for name in later["transaction_id"]]
    for days in (0, 3, 9):
        moved = later | {
            "timestamp": [at + days * 86_400_000_000 for at in later["timestamp"]],
            "transaction_id": [name + days * 1_000 for name in later["transaction_id"]],
        }
        np.testing.assert_array_equal(found.count(moved), expected.count(moved))


def with_labels() -> pa.Table:
    joined = PAYMENTS.append_column("is_fraud", LABELS["is_fraud"])
    return joined.append_column("labelled_at", LABELS["labelled_at"])


def test_labels_may_lie_beside_the_payments_in_their_rows_or_apart(
    command: Backfill, home: Path, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'history.db'}"
    load(PAYMENTS, database, table="transactions")
    load(LABELS, database, table="labels")
    load(with_labels(), str(tmp_path / "rows.parquet"))
    load(PAYMENTS, str(tmp_path / "payments.parquet"))
    load(LABELS, str(tmp_path / "labels.csv"))
    contents = []
    for arguments in (
        ["--transactions", database],
        ["--transactions", str(tmp_path / "rows.parquet")],
        ["--transactions", str(tmp_path / "payments.parquet"),
         "--labels", str(tmp_path / "labels.csv")],
    ):  # fmt: skip
        status, said, error = command(*arguments)
        assert status == 0, error
        assert "300" in said
        found = stored(home)
        assert found is not None
        contents.append(found.to_bytes())
        same(found, lived())
    assert contents[0] == contents[1] == contents[2]
    assert not (home / "backfill" / NAME).exists()


def test_rows_in_any_order_and_other_columns_give_the_same(
    command: Backfill, home: Path, tmp_path: Path, write: Callable[[pa.Table], str]
) -> None:
    source = write(with_labels())
    assert command("--transactions", source)[0] == 0
    expected = stored(home)
    order = np.random.default_rng(0).permutation(PAYMENTS.num_rows)
    shuffled = with_labels().take(order).append_column("note", pa.array(["x"] * len(order)))
    names = {"transaction_id": "TX", "timestamp": "PAID_AT", "is_fraud": "CHARGEBACK"}
    theirs = [names.get(name, name) for name in shuffled.column_names]
    source = write(shuffled.rename_columns(theirs))
    columns = tmp_path / "columns.toml"
    columns.write_text("".join(f'{ours} = "{name}"\n' for ours, name in names.items()))
    status, _, said = command("--transactions", source, "--columns", str(columns))
    assert status == 0, said
    found = stored(home)
    assert found is not None
    assert expected is not None
    assert found.to_bytes() == expected.to_bytes()


def test_the_numbers_of_the_run(
    command: Backfill, home: Path, tmp_path: Path, write: Callable[[pa.Table], str]
) -> None:
    numbers = tmp_path / "numbers.json"
    status, said, progress = command("--transactions", write(with_labels()), "--json", str(numbers))
    assert status == 0
    found = {row["name"]: row["value"] for row in json.loads(numbers.read_text())}
    replica = stored(home)
    assert replica is not None
    assert found["history"] == found["counted"] == found["labels"] == 300
    assert found["keys_customer_id"] == len(set(PAYMENTS["customer_id"].to_pylist()))
    assert found["state"] == len(replica.to_bytes())
    assert 0 < found["labels_of_use"] <= 300
    assert "deploy the version" in said
    assert "read the history: 300 transactions, 300 labels" in progress


def test_labels_of_payments_that_nobody_knows_are_of_no_use(
    command: Backfill, home: Path, tmp_path: Path
) -> None:
    load(PAYMENTS, str(tmp_path / "payments.parquet"))
    unknown = LABELS.set_column(0, "transaction_id", pc.add(LABELS["transaction_id"], 5_000))
    load(pa.concat_tables([LABELS, unknown]), str(tmp_path / "labels.parquet"))
    status, _, said = command("--transactions", str(tmp_path / "payments.parquet"),
                              "--labels", str(tmp_path / "labels.parquet"))  # fmt: skip
    assert status == 0, said
    same(stored(home), lived())


def test_labels_that_do_not_say_when_are_known_after_the_delay(
    command: Backfill, home: Path, write: Callable[[pa.Table], str]
) -> None:
    source = write(with_labels().drop_columns("labelled_at"))
    assert command("--transactions", source, "--delay-days", "0")[0] == 0
    at_once = stored(home)
    assert command("--transactions", source)[0] == 0
    after_a_week = stored(home)
    told = Replica(FeatureState(SPEC))
    for row in range(PAYMENTS.num_rows):
        told.count(columns_of(PAYMENTS.slice(row, 1)))
        known = LABELS.slice(row, 1).set_column(
            2, "labelled_at", PAYMENTS["timestamp"].slice(row, 1)
        )
        told.state.apply_labels(known)
    same(at_once, told)
    assert after_a_week is not None
    assert at_once is not None
    assert after_a_week.origin != at_once.origin


def damaged(home: Path) -> None:
    with closing(SnapshotStore(f"sqlite:///{home / 'features.db'}", name=NAME)) as store:
        store.save(b"no state at all")


def test_a_damaged_state_is_replaced(
    command: Backfill, home: Path, write: Callable[[pa.Table], str]
) -> None:
    home.mkdir()
    damaged(home)
    assert command("--transactions", write(with_labels()))[0] == 0
    same(stored(home), lived())


def wrong(name: str, column: pa.Array) -> pa.Table:
    table = with_labels()
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (with_labels().drop_columns("terminal_id"), "missing column 'terminal_id'"),
        (with_labels().drop_columns("amount"), "'amount'"),
        (with_labels().slice(0, 0), "there are no transactions"),
        (wrong("amount", pa.array([-1.0] * 300)), "amounts must be at least 0"),
        (wrong("timestamp", pa.array(["soon"] * 300)), "not a time"),
        (wrong("transaction_id", pa.array([7] * 300)), "7 occurs in row"),
        (wrong("is_fraud", pa.array([2] * 300)), "must be 0 or 1"),
        (wrong("labelled_at", pa.array(["1999-01-01"] * 300)), "is before its transaction"),
    ],
)  # fmt: skip
def test_what_is_no_history_is_said_and_nothing_is_stored(
    command: Backfill, home: Path, write: Callable[[pa.Table], str], table: pa.Table, message: str
) -> None:
    status, _, said = command("--transactions", write(table))
    assert (status, message in said) == (1, True), said
    assert stored(home) is None


def test_labels_apart_that_are_none_are_said(command: Backfill, home: Path, tmp_path: Path) -> None:
    payments, labels = str(tmp_path / "payments.parquet"), str(tmp_path / "labels.parquet")
    load(PAYMENTS, payments)
    for table, message in (
        (LABELS.drop_columns("labelled_at"), "labels lack labelled_at"),
        (LABELS.set_column(0, "transaction_id", LABELS["transaction_id"].cast(pa.string())),
         "labels have ids of type string, transactions of type int64"),
    ):  # fmt: skip
        load(table, labels, if_exists="replace")
        status, _, said = command("--transactions", payments, "--labels", labels)
        assert (status, message in said) == (1, True), said
    assert stored(home) is None


def test_nothing_before_a_time_is_said(command: Backfill, write: Callable[[pa.Table], str]) -> None:
    status, _, said = command("--transactions", write(with_labels()), "--until", "2017-01-01")
    assert (status, "no transactions before --until" in said) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until", "soon"], "is no time like 2018-07-25"),
        (["--model", "3"], "not allowed with argument"),
        (["--json", "/nowhere/numbers.json"], "the folder does not exist"),
        (["--columns", "/nowhere.toml"], "cannot be read"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(
    command: Backfill,
    write: Callable[[pa.Table], str],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    try:
        status, _, said = command("--transactions", write(PAYMENTS), *arguments)
    except SystemExit as ended:
        status, said = ended.code, capsys.readouterr().err
    assert (status, message in said) == (2, True), said


def test_without_a_model_or_a_history_it_says_what_to_name(command: Backfill) -> None:
    status, _, said = command(features=())
    assert (status, "name the history, --transactions" in said) == (2, True)
    status, _, said = command("--transactions", "x.parquet", features=())
    assert (status, "//batch:train makes one" in said) == (2, True)


def test_two_of_the_same_features_at_once_are_refused(
    command: Backfill, home: Path, write: Callable[[pa.Table], str]
) -> None:
    assert command("--transactions", write(PAYMENTS))[0] == 0
    with (home / "backfill" / f"{NAME}.lock").open() as file:
        assert lock(file.fileno(), wait=False)
        status, _, said = command("--transactions", write(PAYMENTS))
    assert (status, "another backfill of the same is going on" in said) == (1, True)


def test_each_spec_has_a_state_of_its_own(
    command: Backfill, home: Path, tmp_path: Path, write: Callable[[pa.Table], str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(spec_to_toml(handbook_spec()))
    source = write(with_labels())
    assert command("--transactions", source, features=("--spec", str(other)))[0] == 0
    assert stored(home) is None
    assert command("--transactions", source)[0] == 0
    same(stored(home), lived())
