"""Payments that go on and on while something fails, and whether all is right afterwards."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import psutil
from history import columns_of, same_features, state_of
from payments import bodies_of, rows_of, small_simulation
from server import ask

from fraud_detect.torchserve import TorchServe

PAYMENTS = small_simulation(n_days=8, n_customers=200).transactions
ROWS = rows_of(PAYMENTS)
BODIES = bodies_of(PAYMENTS)
SCORE = "/predictions/fraud"
IDS = [row["transaction_id"] for row in ROWS]


@dataclass(frozen=True)
class Sent:
    """A payment, and what came of it."""

    number: int
    begun: float
    seconds: float
    status: int
    """0: the connection was lost."""
    answer: Any

    @property
    def is_full(self) -> bool:
        """Scored with its history."""
        return self.status == 200 and not self.answer.get("degraded", False)


@dataclass
class Load:
    """Payments that are sent one after the other by some threads, until it is left."""

    port: int
    sent: list[Sent] = field(default_factory=list)
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, condition: Callable[[list[Sent]], bool], *, within: float = 30) -> None:
        """Waits until the payments sent by now fulfil ``condition``."""
        deadline = time.monotonic() + within
        while not condition(list(self.sent)):
            assert time.monotonic() < deadline, Counter(one.status for one in self.sent)
            time.sleep(0.01)

    def send(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                number = self._next
                self._next += 1
            begun = time.monotonic()
            try:
                reply = ask(self.port, SCORE, BODIES[number % len(BODIES)])
                status, answer = reply.status, reply.json
            except (OSError, HTTPException):
                status, answer = 0, None
            self.sent.append(Sent(number, begun, time.monotonic() - begun, status, answer))

    @contextmanager
    def running(self, n_threads: int = 4) -> Iterator[None]:
        threads = [threading.Thread(target=self.send) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


def workers(server: TorchServe) -> list[psutil.Process]:
    """Those of ``server``."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            arguments = " ".join(process.cmdline())
            if "model_service_worker" in arguments and str(server.folder.path) in arguments:
                found.append(process)
    return found


def full(n: int) -> Callable[[list[Sent]], bool]:
    return lambda sent: sum(one.is_full for one in sent) >= n


def degraded(n: int) -> Callable[[list[Sent]], bool]:
    return lambda sent: sum(one.status == 200 and not one.is_full for one in sent) >= n


def lost_with_a_worker(load: Load, n_threads: int = 4) -> list[Sent]:
    """What was sent without getting scores: only what one worker was at when it was killed."""
    lost = [one for one in load.sent if one.status != 200]
    # Which of the two, depends on whether TorchServe sees first how the worker ended.
    assert {one.status for one in lost} <= {500, 507}, lost
    assert {one.answer["message"] for one in lost} <= {"Worker died."}, lost
    assert len(lost) <= n_threads, lost  # each has one payment under way
    return lost


def same_features_as_offline(url: str) -> None:
    fresh = [row | {"transaction_id": row["transaction_id"] + 10**6} for row in ROWS[-40:]]
    with state_of(url) as state:
        found = state.count(columns_of(fresh))
    assert not found.degraded
    same_features(found.rows, url, [row["transaction_id"] for row in fresh])


def successor_of(victim: psutil.Process, server: TorchServe) -> psutil.Process:
    """The worker that runs in place of one that was killed, as soon as it has loaded the model."""
    n_workers = server.options.workers
    deadline = time.monotonic() + 60
    found: list[psutil.Process] = []
    while len(found) < n_workers or server.management.n_ready("1") < n_workers:
        assert time.monotonic() < deadline, server.folder.last_words()
        time.sleep(0.02)
        found = [worker for worker in workers(server) if worker.pid != victim.pid]
    return max(found, key=psutil.Process.create_time)
