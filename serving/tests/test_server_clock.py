"""A server whose clock goes back, and payments whose clocks did: what is answered counts once."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import ROWS, SCORE
from history import columns_of, counted, same_features, state_of
from server import Reply, ask, metrics_when, running_server, settings_in

from data_connector import fetch
from fraud_detect.torchserve import TorchServe

HOUR, DAY = 3_600, 86_400
SECOND = 1_000_000  # microseconds

# Whatever Python starts with this in its path has a clock that is as many seconds off as the file
# says.
_CLOCK = """
import os, time
from pathlib import Path

now, now_ns, off = time.time, time.time_ns, Path(os.environ["TEST_CLOCK"])
time.time = lambda: now() + int(off.read_text())
time.time_ns = lambda: now_ns() + int(off.read_text()) * 10**9
"""


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the clock of servers started later: how many seconds it is off."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(_CLOCK)
    file = tmp_path / "clock" / "seconds"

    def change(seconds: int) -> None:
        (tmp_path / "next").write_text(str(seconds))
        (tmp_path / "next").replace(file)

    change(0)
    monkeypatch.syspath_prepend(tmp_path / "clock")
    monkeypatch.setenv("TEST_CLOCK", str(file))
    return change


def dated(rows: list[dict[str, Any]], seconds: float, *, ids: int = 0) -> list[dict[str, Any]]:
    """Those rows as if the last of all rows was paid so many seconds before now."""
    later = int((time.time() - seconds) * SECOND) - ROWS[-1]["timestamp"]
    return [
        row
        | {
            "timestamp": row["timestamp"] + later,
            "transaction_id": row["transaction_id"] + ids,
        }
        for row in rows
    ]


def send(server: TorchServe, rows: list[dict[str, Any]]) -> list[Reply]:
    return [ask(server.ports.inference, SCORE, json.dumps(row).encode()) for row in rows]


def test_a_clock_that_goes_back_refuses_what_is_too_far_ahead_and_counts_the_rest(
    tmp_path, set_clock
) -> None:
    url = settings_in(tmp_path).feature_store
    decisions = f"sqlite:///{tmp_path / 'decisions.db'}"
    recent = dated(ROWS[-90:], 1)
    old = dated(ROWS[-60:-30], 10 * DAY, ids=10**6)
    with running_server(tmp_path, decision_log=decisions) as server:
        accepted = send(server, recent[:30])
        set_clock(-HOUR)
        accepted += send(server, recent[30:60])
        set_clock(-10 * DAY)
        refused = send(server, recent[60:])
        accepted += send(server, old)  # as this clock has it; their customers paid later already
        set_clock(0)
        accepted += send(server, recent[60:])
        metrics_when(
            server.ports.metrics,
            lambda found: found["fraud_decision_log_total"].get(("1", "written")) == len(accepted),
        )
    assert {reply.status for reply in refused} == {400}
    assert all("ahead of this service's clock" in reply.json["error"] for reply in refused)
    assert {reply.status for reply in accepted} == {200}
    assert not any("degraded" in reply.json for reply in accepted)
    sent = [*recent[:60], *old, *recent[60:]]
    assert [row["transaction_id"] for row in counted(url)] == [r["transaction_id"] for r in sent]
    fresh = dated(ROWS[-40:], 0, ids=2 * 10**6)
    with state_of(url) as state:
        found = state.count(columns_of(fresh))
    same_features(found.rows, url, [row["transaction_id"] for row in fresh])
    logged = fetch(decisions, table="decisions").read_all().to_pylist()
    assert [row["transaction_id"] for row in logged] == [str(r["transaction_id"]) for r in sent]
    hours = [(logged[0]["scored_at"] - row["scored_at"]) / dt.timedelta(hours=1) for row in logged]
    assert [round(hours[at]) for at in (0, 30, 60, 90)] == [0, 1, 240, 0]
