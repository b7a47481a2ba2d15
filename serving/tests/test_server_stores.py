"""A server whose feature store is gone, or whose disk is full, answers, says so, and recovers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from faults import (
    Load,
    degraded,
    full,
    lost_with_a_worker,
    same_features_as_offline,
    successor_of,
    workers,
)
from history import counted
from server import running_server

from data_connector import fetch
from tools.servers.postgresql import PostgresqlServer, postgresql_running
from tools.servers.redis import RedisServer, redis_server
from tools.servers.small_disk import run_on_small_disk


@dataclass(frozen=True)
class Database:
    """One that keeps what it said that it has, whatever happens to it."""

    running: Callable[[], AbstractContextManager[PostgresqlServer | RedisServer]]

    @staticmethod
    def url(server: PostgresqlServer | RedisServer) -> str:
        if isinstance(server, RedisServer):
            return server.url
        return server.url.render_as_string(hide_password=False)


DATABASES = [
    pytest.param(Database(lambda: postgresql_running("secret")), id="postgresql"),
    pytest.param(
        Database(lambda: redis_server("--appendonly", "yes", "--appendfsync", "always")),
        id="redis",
    ),
]


@pytest.mark.parametrize("database", DATABASES)
def test_a_database_that_is_killed_degrades_answers_until_it_is_started_again(
    tmp_path, database
) -> None:
    decisions = f"sqlite:///{tmp_path / 'decisions.db'}"
    with database.running() as store:
        place = database.url(store)
        with running_server(tmp_path, feature_store=place, decision_log=decisions) as server:
            load = Load(server.ports.inference)
            with load.running():
                load.wait_for(full(50))
                store.kill()
                load.wait_for(degraded(100))
                # A worker that dies meanwhile has another in its place, with no history either.
                (victim,) = workers(server)
                victim.kill()
                successor_of(victim, server)
                n_degraded = sum(one.status == 200 and not one.is_full for one in load.sent)
                load.wait_for(degraded(n_degraded + 50))
                store.start()
                n_full = sum(one.is_full for one in load.sent)
                load.wait_for(full(n_full + 50))
            assert "without history" in server.log.read_text()
        same_features_as_offline(place)
        known = {row["transaction_id"] for row in counted(place)}
    answered = [one for one in load.sent if one.status == 200]
    lost_with_a_worker(load)
    assert {one.answer["transaction_id"] for one in answered if one.is_full} <= known
    logged = fetch(decisions, table="decisions").read_all().to_pylist()
    said = {(row["transaction_id"], row["degraded"]) for row in logged}
    assert {(str(one.answer["transaction_id"]), not one.is_full) for one in answered} <= said


_ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
from faults import Load, degraded, full, same_features_as_offline
from history import counted
from server import metrics_when, running_server
from data_connector import fetch

folder, disk = Path(sys.argv[1]), Path.cwd()
store, decisions = f"sqlite:///{disk / 'features.db'}", f"sqlite:///{disk / 'decisions.db'}"
with running_server(folder, feature_store=store, decision_log=decisions) as server:
    load = Load(server.ports.inference)
    with load.running():
        load.wait_for(full(50))
        with open("ballast", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                pass
        load.wait_for(degraded(100))
        load.wait_for(lambda _: "decisions cannot be written" in server.log.read_text())
        os.remove("ballast")
        n_full = sum(one.is_full for one in load.sent)
        load.wait_for(full(n_full + 50))
    assert {one.status for one in load.sent} == {200}
    metrics_when(
        server.ports.metrics,
        lambda found: found["fraud_decision_log_total"].get(("1", "written")) == len(load.sent),
    )
same_features_as_offline(store)
known = {row["transaction_id"] for row in counted(store)}
assert {one.answer["transaction_id"] for one in load.sent if one.is_full} <= known
logged = fetch(decisions, table="decisions").read_all().to_pylist()
said = sorted((row["transaction_id"], row["degraded"]) for row in logged)
assert said == sorted((str(one.answer["transaction_id"]), not one.is_full) for one in load.sent)
"""


def test_on_a_full_disk_payments_are_answered_and_all_decisions_are_written_later(
    tmp_path,
) -> None:
    command = [sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = run_on_small_disk(tmp_path / "disk", "4m", command, env)
    assert done.returncode == 0, done.stderr[-5_000:]
