"""What goes wrong beside a scorer: it answers, says so, and is right again afterwards."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from history import columns_of, counted, same_features, state_of
from payments import (
    SPEC,
    bodies_of,
    publish,
    rows_of,
    scorer_at,
    small_artifact,
    small_simulation,
    state_at,
)

from data_connector import ConnectorError, JournalReplacedError, open_journal
from fraud_detect import late_state, online_state
from fraud_detect.errors import ServingError
from fraud_detect.online_state import OnlineState
from fraud_detect.scorer import Call, Scorer
from fraud_detect.snapshots import Snapshots
from fraud_detect.store_url import hasty
from fraud_detect.transactions import TransactionFormat
from fraud_detect.worker_settings import WorkerSettings
from fraud_ml.errors import ArtifactError
from tools.servers.postgresql import PostgresqlServer, postgresql_running
from tools.servers.small_disk import run_on_small_disk

PAYMENTS = small_simulation().transactions
ROWS = rows_of(PAYMENTS)
BODIES = bodies_of(PAYMENTS)
IDS = [row["transaction_id"] for row in ROWS]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'features.db'}"


@pytest.fixture
def no_retry_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online_state, "RETRY_AFTER", 0.0)


@pytest.fixture
def no_check_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online_state, "CHECK_EVERY", 0.0)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with postgresql_running("secret") as server:
        yield server


@pytest.fixture
def restore(tmp_path: Path) -> Callable[[Path], None]:
    """Puts a copy of the store in its place, while others have it open."""

    def replace(copy: Path) -> None:
        with (
            closing(sqlite3.connect(copy)) as source,
            closing(sqlite3.connect(tmp_path / "features.db")) as target,
        ):
            source.backup(target)

    return replace


def copied(tmp_path: Path) -> Path:
    copy = tmp_path / "copy.db"
    with (
        closing(sqlite3.connect(tmp_path / "features.db")) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


def count(state: OnlineState, start: int, stop: int) -> np.ndarray:
    features = state.count(columns_of(ROWS[start:stop]))
    assert not features.degraded
    return features.rows


def is_degraded(scorer: Scorer, body: bytes) -> bool:
    (answer,) = scorer.answer([Call(body)])
    assert answer.status == 200
    degraded: bool = json.loads(answer.body).get("degraded", False)
    return degraded


def test_a_locked_store_degrades_answers_quickly_and_for_no_longer_than_it_lasts(
    url, tmp_path, no_retry_pause
) -> None:
    scorer = scorer_at(hasty(url), small_artifact())
    assert not any(is_degraded(scorer, body) for body in BODIES[:20])
    with closing(sqlite3.connect(tmp_path / "features.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.perf_counter()
        assert is_degraded(scorer, BODIES[20])
        assert time.perf_counter() - begun < 1.5
        other.execute("ROLLBACK")
    assert not any(is_degraded(scorer, body) for body in BODIES[21:60])
    assert [row["transaction_id"] for row in counted(url)] == IDS[:20] + IDS[21:60]
    same_features(count(scorer.state, 60, 90), url, IDS[60:90])


def test_a_worker_that_starts_while_the_store_is_locked_has_its_history_when_it_can(
    url, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(late_state, "RETRY_AFTER", 0.01)
    with state_of(url) as state:
        count(state, 0, 40)
    publish(tmp_path / "models", small_artifact())
    settings = WorkerSettings(model_store=str(tmp_path / "models"), feature_store=url)
    with closing(sqlite3.connect(tmp_path / "features.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        scorer = settings.scorer("1")
        assert is_degraded(scorer, BODIES[40])
        assert scorer.state.replica.position == 0
    deadline = time.monotonic() + 30
    while is_degraded(scorer, BODIES[41]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [row["transaction_id"] for row in counted(url)] == [*IDS[:40], IDS[41]]
    same_features(count(scorer.state, 60, 90), url, IDS[60:90])


def test_a_worker_does_not_start_on_a_state_that_will_never_be_right(url, tmp_path) -> None:
    state = state_at(url)
    count(state, 0, 10)
    Snapshots(url, SPEC).save(state.replica)
    damage(url, lambda content: content[:-1])
    publish(tmp_path / "models", small_artifact())
    settings = WorkerSettings(model_store=str(tmp_path / "models"), feature_store=url)
    with pytest.raises(ServingError, match=r"features\.db.*backfill"):
        settings.scorer("1")


def test_a_store_that_failed_is_left_alone_for_a_second(url, tmp_path) -> None:
    scorer = scorer_at(hasty(url), small_artifact())
    with closing(sqlite3.connect(tmp_path / "features.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert is_degraded(scorer, BODIES[0])
        begun = time.perf_counter()
        assert all(is_degraded(scorer, body) for body in BODIES[1:20])
        assert time.perf_counter() - begun < 0.5


def test_a_postgresql_that_is_killed_degrades_answers_until_it_is_back(
    postgresql, no_retry_pause
) -> None:
    url = postgresql.url.render_as_string(hide_password=False)
    with state_of(hasty(url)) as state:
        scorer = Scorer(small_artifact(), state, name="fraud", version=1)
        assert not any(is_degraded(scorer, body) for body in BODIES[:20])
        postgresql.kill()
        begun = time.perf_counter()
        assert all(is_degraded(scorer, body) for body in BODIES[20:30])
        assert time.perf_counter() - begun < 2
        postgresql.start()
        assert not any(is_degraded(scorer, body) for body in BODIES[30:60])
        assert [row["transaction_id"] for row in counted(url)] == IDS[:20] + IDS[30:60]
        same_features(count(state, 60, 90), url, IDS[60:90])


_ON_A_FULL_DISK = """
import json, os, sys
from payments import bodies_of, scorer_at, small_artifact, small_simulation
from fraud_detect import late_state, online_state
from fraud_detect.scorer import Call

online_state.RETRY_AFTER = 0
scorer = scorer_at("sqlite:///features.db", small_artifact())
bodies = bodies_of(small_simulation().transactions)

def degraded(some):
    answers = [scorer.answer([Call(body)])[0] for body in some]
    assert {answer.status for answer in answers} == {200}
    return {json.loads(answer.body).get("degraded", False) for answer in answers}

assert degraded(bodies[:10]) == {False}
with open("ballast", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(1024))
    except OSError:
        pass
states = [degraded([body]) for body in bodies[10:200]]
assert {True} in states, states
os.remove("ballast")
assert degraded(bodies[200:250]) == {False}
"""


def test_a_full_disk_degrades_answers_until_there_is_room(tmp_path) -> None:
    command = [sys.executable, "-c", _ON_A_FULL_DISK]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = run_on_small_disk(tmp_path / "disk", "2m", command, env)
    assert done.returncode == 0, done.stderr


def test_a_state_behind_a_trimmed_journal_goes_on_from_the_snapshot(url, tmp_path) -> None:
    slow, quick = state_at(url), state_at(url)
    count(slow, 0, 10)
    for start in range(10, 100, 10):
        count(quick, start, start + 10)
    whole = copied(tmp_path)
    Snapshots(url, SPEC).save(quick.replica)
    with open_journal(url) as journal:
        journal.trim(quick.replica.position)
    found = count(slow, 100, 120)
    # In a copy of the journal, as it was before the trim, it is the same.
    count(state_at(f"sqlite:///{whole}"), 100, 120)
    same_features(found, f"sqlite:///{whole}", IDS[100:120])


def test_a_state_ahead_of_a_restored_journal_starts_anew_from_it(url, tmp_path, restore) -> None:
    state = state_at(url)
    count(state, 0, 20)
    copy = copied(tmp_path)
    count(state, 20, 40)
    restore(copy)
    same_features(count(state, 40, 60), url, IDS[40:60])
    assert [row["transaction_id"] for row in counted(url)] == IDS[:20] + IDS[40:60]


@pytest.mark.parametrize("n_more", [1, 2, 5])
def test_a_state_finds_out_that_a_restored_journal_has_grown_past_it(
    url, tmp_path, restore, no_check_pause, n_more
) -> None:
    unaware, other = state_at(url), state_at(url)
    count(unaware, 0, 20)
    copy = copied(tmp_path)
    count(unaware, 20, 40)
    restore(copy)
    for number in range(n_more):
        count(other, 40 + 10 * number, 50 + 10 * number)
    last = 40 + 10 * n_more
    same_features(count(unaware, last, last + 20), url, IDS[last : last + 20])
    same_features(count(other, last + 20, last + 40), url, IDS[last + 20 : last + 40])
    same_features(count(unaware, last + 40, last + 60), url, IDS[last + 40 : last + 60])


def test_a_clock_that_goes_back_refuses_what_is_too_far_ahead_and_nothing_else(url) -> None:
    latest = ROWS[-1]["timestamp"] / 1e6
    clock = [latest]
    scorer = scorer_at(url, small_artifact())
    scorer._format = TransactionFormat(SPEC, now=lambda: clock[0])
    (before,) = scorer.answer([Call(BODIES[-3])])
    clock[0] = latest - 3_600
    (after,) = scorer.answer([Call(BODIES[-2])])
    clock[0] = latest - 10 * 86_400
    (refused,) = scorer.answer([Call(BODIES[-1])])
    assert (before.status, after.status, refused.status) == (200, 200, 400)
    assert "ahead of this service's clock" in json.loads(refused.body)["error"]
    clock[0] = latest
    assert not is_degraded(scorer, BODIES[-1])
    assert [row["transaction_id"] for row in counted(url)] == IDS[-3:]


def test_a_damaged_model_is_refused_by_its_files_name(tmp_path, url) -> None:
    publish(tmp_path / "models", small_artifact())
    settings = WorkerSettings(model_store=str(tmp_path / "models"), feature_store=url)
    (weights,) = (tmp_path / "models").rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o600)
    weights.write_bytes(content)
    with pytest.raises((ArtifactError, ConnectorError), match=r"model\.safetensors"):
        settings.scorer("1")


def damage(url: str, change: Callable[[bytes], bytes]) -> None:
    """Changes the first value of the snapshot at ``url``."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
        ((table,),) = file.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'state_%_values' AND type = 'table'"
        )
        ((content,),) = file.execute(f"SELECT value FROM {table}")
        file.execute(f"UPDATE {table} SET value = ?", (change(content),))


@pytest.mark.parametrize("part", range(20))
def test_a_snapshot_with_a_byte_changed_is_refused_by_its_stores_name(url, part) -> None:
    state = state_at(url)
    count(state, 0, 50)
    Snapshots(url, SPEC).save(state.replica)

    def change_one(content: bytes) -> bytes:
        at = part * len(content) // 20
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    damage(url, change_one)
    with pytest.raises(ServingError, match=r"features\.db.*backfill"):
        state_at(url)
    damage(url, change_one)  # back
    state_at(url)


def test_a_snapshot_that_is_damaged_when_it_is_needed_degrades_answers(url, no_retry_pause) -> None:
    slow, quick = scorer_at(url, small_artifact()), state_at(url)
    count(quick, 0, 10)
    snapshots = Snapshots(url, SPEC)
    snapshots.save(quick.replica)
    with open_journal(url) as journal:
        journal.trim(quick.replica.position)
    damage(url, lambda content: content[:-1])
    assert is_degraded(slow, BODIES[10])
    snapshots.save(quick.replica)
    assert not is_degraded(slow, BODIES[11])


def test_a_snapshot_of_another_journal_is_refused(url, tmp_path) -> None:
    state, other = state_at(url), state_at(f"sqlite:///{tmp_path / 'other.db'}")
    count(state, 0, 10)
    count(other, 10, 20)
    Snapshots(url, SPEC).save(other.replica)
    with pytest.raises(JournalReplacedError, match="another history"):
        state_at(url)
