"""Callers that go on and on, for a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

from server import JSON, Reply, ask

SCORE = "/predictions/fraud"


class Load:
    """What became of each caller's requests, in order: a reply, or the error of the connection."""

    def __init__(self, callers: int) -> None:
        self.outcomes: list[list[Reply | OSError]] = [[] for _ in range(callers)]
        self.stop = threading.Event()

    @property
    def replies(self) -> list[Reply]:
        """All replies."""
        return [one for caller in self.outcomes for one in caller if isinstance(one, Reply)]

    @property
    def versions(self) -> set[int]:
        """The versions of the model that answered."""
        return {reply.json["model"]["version"] for reply in self.replies if reply.status == 200}

    def wait_for(self, more: int) -> None:
        """Returns when each caller has got so many more outcomes."""
        enough = [len(caller) + more for caller in self.outcomes]
        while any(len(c) < n for c, n in zip(self.outcomes, enough, strict=True)):
            self.stop.wait(0.01)


@contextmanager
def load_on(
    port: int, bodies: Sequence[bytes], *, callers: int = 4, headers: Mapping[str, str] = JSON
) -> Iterator[Load]:
    """Callers of the server at ``port``, each with one request at a time, until the block ends."""
    load = Load(callers)

    def call(number: int) -> None:
        for turn in count(number):
            if load.stop.is_set():
                return
            try:
                outcome: Reply | OSError = ask(
                    port, SCORE, bodies[turn % len(bodies)], headers=headers
                )
            except OSError as error:
                outcome = error
            load.outcomes[number].append(outcome)

    threads = [threading.Thread(target=call, args=[number]) for number in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()
