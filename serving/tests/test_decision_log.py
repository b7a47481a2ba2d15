"""Every decision is in the table, whoever is killed when; what is not is counted."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from payments import bodies_of, calls_of, scorer_at, scores_of, small_artifact, small_simulation
from server import ask, running_server

from data_connector import fetch, list_tables
from fraud_detect.decision_log import DecisionLog
from fraud_detect.decision_table import SCHEMA, TABLE
from fraud_detect.processes import python_path
from fraud_ml.feature_hash import feature_hashes

PAYMENTS = small_simulation().transactions
SCORE = "/predictions/fraud"


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'decisions.db'}"


@pytest.fixture
def scorer(tmp_path):
    return scorer_at(f"sqlite:///{tmp_path / 'features.db'}", small_artifact())


@pytest.fixture
def started():
    """Makes decision logs, and ends their processes with the test."""
    logs = []

    def start(url: str, **options) -> DecisionLog:
        logs.append(DecisionLog(url, model="fraud", version=3, **options))
        return logs[-1]

    yield start
    for log in logs:
        if log.pid is not None:
            os.kill(log.pid, signal.SIGKILL)
            log.close()


def decisions_in(url: str) -> list[dict]:
    if not Path(url.removeprefix("sqlite:///")).exists() or TABLE not in list_tables(url):
        return []
    with fetch(url, table=TABLE) as reader:
        return reader.read_all().to_pylist()


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def hold(url: str) -> sqlite3.Connection:
    """A connection that keeps others from writing."""
    holder = sqlite3.connect(
        url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
    )
    holder.execute("BEGIN EXCLUSIVE")
    return holder


def test_a_decision_is_logged_as_it_was_answered(url, scorer, started) -> None:
    log = started(url)
    seen = []
    scorer.watchers += [log, seen.append]
    before = time.time()
    some = PAYMENTS.slice(0, 40)
    answers = scorer.answer(calls_of(some.slice(0, 15))) + scorer.answer(
        calls_of(some.slice(15, 25))
    )
    log.close()
    rows = decisions_in(url)
    assert list(rows[0]) == SCHEMA.names
    assert [row["transaction_id"] for row in rows] == [
        str(name) for name in some["transaction_id"].to_pylist()
    ]
    assert [row["timestamp"] for row in rows] == some["timestamp"].to_pylist()
    assert all(before - 1 < row["scored_at"].timestamp() < time.time() for row in rows)
    np.testing.assert_array_equal(
        np.float32([row["score"] for row in rows]), np.float32(scores_of(answers))
    )
    assert [row["decision"] for row in rows] == [
        json.loads(answer.body)["decision"] for answer in answers
    ]
    hashes = [each for batch in seen for each in feature_hashes(batch.features)]
    assert [row["features_hash"] for row in rows] == hashes
    assert {(row["model"], row["version"], bool(row["degraded"])) for row in rows} == {
        ("fraud", 3, False)
    }
    assert (log.n_taken, log.n_written, log.n_waiting, log.n_dropped) == (40, 40, 0, 0)


def test_payments_do_not_wait_for_a_locked_table_and_are_logged_when_it_is_free(
    url, scorer, started
) -> None:
    log = started(url)
    scorer.watchers.append(log)
    holder = hold(url)
    calls = calls_of(PAYMENTS.slice(0, 200))
    slowest = 0.0
    for call in calls:
        start = time.perf_counter()
        scorer.answer([call])
        slowest = max(slowest, time.perf_counter() - start)
    assert log.n_waiting == 200
    assert slowest < 2.0  # SQLite alone would have waited 5
    holder.close()
    log.close()
    assert len(decisions_in(url)) == 200


def test_what_is_too_much_is_dropped_and_counted(url, scorer, started) -> None:
    log = started(url, queue_rows=30)
    scorer.watchers.append(log)
    holder = hold(url)
    for start in range(0, 100, 10):
        scorer.answer(calls_of(PAYMENTS.slice(start, 10)))
    assert (log.n_waiting, log.n_dropped) == (30, 70)
    holder.close()
    log.close()
    first = [str(name) for name in PAYMENTS["transaction_id"][:30].to_pylist()]
    assert [row["transaction_id"] for row in decisions_in(url)] == first


def test_more_than_a_pipe_holds_at_once_arrives_whole(url, started, scorer) -> None:
    log = started(url)
    seen = []
    scorer.watchers.append(seen.append)
    scorer.answer(calls_of(PAYMENTS.slice(0, 300)))
    for _ in range(100):  # before it reads: it is still starting
        log(seen[0])
    assert log.n_waiting == 30_000
    log.close()
    assert len(decisions_in(url)) == log.n_written == 30_000


def test_a_killed_writer_loses_what_it_did_not_write_and_another_takes_over(
    url, scorer, started
) -> None:
    log = started(url)
    scorer.watchers.append(log)
    scorer.answer(calls_of(PAYMENTS.slice(0, 10)))
    wait_until(lambda: log.poll() or log.n_written == 10)
    first = log.pid
    os.kill(first, signal.SIGSTOP)
    scorer.answer(calls_of(PAYMENTS.slice(10, 5)))
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: log.poll() or log.pid not in (first, None))
    assert (log.n_written, log.n_dropped, log.n_waiting) == (10, 5, 0)
    scorer.answer(calls_of(PAYMENTS.slice(15, 7)))
    log.close()
    assert len(decisions_in(url)) == log.n_written == 17


SCORING = """
import sys
from payments import calls_of, scorer_at, small_artifact, small_simulation
from fraud_detect.decision_log import DecisionLog

state, decisions = sys.argv[1:]
scorer = scorer_at(state, small_artifact())
log = DecisionLog(decisions, model="fraud", version=1)
scorer.watchers.append(log)
sys.stdout.write(f"{log.pid}\\n")
for call in calls_of(small_simulation().transactions):
    scorer.answer([call])
    sys.stdout.write("answered\\n")
    sys.stdout.flush()
"""


def test_what_a_process_answered_before_kill_9_is_logged(url, tmp_path) -> None:
    program = [sys.executable, "-c", SCORING, f"sqlite:///{tmp_path / 'features.db'}", url]
    with subprocess.Popen(
        program, env={**os.environ, "PYTHONPATH": python_path()}, stdout=subprocess.PIPE, text=True
    ) as process:
        writer = psutil.Process(int(process.stdout.readline()))
        for _ in range(100):
            assert process.stdout.readline() == "answered\n"
        process.kill()
        answered = 100 + process.stdout.read().count("\n")
    psutil.wait_procs([writer], timeout=30)
    # One may have been killed between its log and its answer.
    assert answered <= len(decisions_in(url)) <= answered + 1


def workers() -> set[int]:
    """The processes of TorchServe's workers."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("model_service_worker" in word for word in process.cmdline()):
                found.add(process.pid)
    return found


def send(port: int, payments: pa.Table) -> list[str]:
    """The ids of payments, all of them answered."""
    for body in bodies_of(payments):
        assert ask(port, SCORE, body).status == 200
    return [str(name) for name in payments["transaction_id"].to_pylist()]


def test_torchserve_kills_its_workers_and_no_decision_is_lost(url, tmp_path) -> None:
    with running_server(tmp_path, decision_log=url, workers=2) as server:
        sent = send(server.ports.inference, PAYMENTS.slice(0, 60))
        killed, other = workers()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(workers() - {killed, other}) == 1)
        wait_until(lambda: server.management.n_ready("1") == 2)
        sent += send(server.ports.inference, PAYMENTS.slice(60, 40))
        wait_until(lambda: len(decisions_in(url)) == 100)
        holder = hold(url)
        sent += send(server.ports.inference, PAYMENTS.slice(100, 20))
        (java,) = (p for p in psutil.Process().children() if "java" in p.name())

        def free_when_it_is_gone() -> None:
            java.wait()
            holder.close()

        releasing = threading.Thread(target=free_when_it_is_gone)
        releasing.start()
    releasing.join()
    assert sorted(row["transaction_id"] for row in decisions_in(url)) == sorted(sent)
