"""A server that is stopped answers what it has accepted."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from load import SCORE, load_on
from payments import bodies_of, rows_of, small_simulation
from server import Reply, ask, running_server

from fraud_detect.at_work import AtWork, are_idle

PAYMENTS = small_simulation().transactions
ROWS = rows_of(PAYMENTS)
LONG = json.dumps({"transactions": (ROWS * 20)[:9_000], "reasons": True}).encode()


def test_workers_are_idle_when_none_holds_a_mark(tmp_path) -> None:
    assert are_idle(tmp_path, "1")
    marks = [AtWork(tmp_path, "1"), AtWork(tmp_path, "1")]
    for mark in marks:
        mark.begin()
    marks[0].end()
    assert not are_idle(tmp_path, "1")
    assert are_idle(tmp_path, "2")
    marks[1].end()
    assert are_idle(tmp_path, "1")


def test_a_worker_that_was_killed_holds_no_mark(tmp_path) -> None:
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        AtWork(tmp_path, "1").begin()
        os.write(tell, b"x")
        threading.Event().wait()
    os.read(told, 1)
    assert not are_idle(tmp_path, "1")
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert are_idle(tmp_path, "1")


def test_what_was_accepted_is_answered_and_all_else_is_told_to_go_elsewhere(tmp_path) -> None:
    with (
        running_server(tmp_path, workers=2) as server,
        ThreadPoolExecutor(1) as pool,
        load_on(server.ports.inference, bodies_of(PAYMENTS)) as load,
    ):
        load.wait_for(20)
        version = server.management.default().version
        long = pool.submit(ask, server.ports.inference, f"{SCORE}/{version}", LONG)
        begun = time.monotonic()
        load.wait_for(2)  # by then it was taken, too
        server.stop()
        took = time.monotonic() - begun
        assert long.result().status == 200
    for caller in load.outcomes:
        until = next(n for n, one in enumerate(caller) if _status(one) != 200)
        assert _status(caller[until]) == 503, caller[until]
    assert took < 20


def _status(outcome: Reply | OSError) -> int:
    return outcome.status if isinstance(outcome, Reply) else 0
