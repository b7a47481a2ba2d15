"""What no answer needs to wait for: it is done when the answers are sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from fraud_detect.scored_batch import ScoredBatch, Watcher

log = logging.getLogger(__name__)


class AfterAnswers:
    """Of one thread, in the order in which it comes."""

    def __init__(self) -> None:
        """There is nothing to do."""
        self._to_do: list[Callable[[], None]] = []

    def add(self, task: Callable[[], None]) -> None:
        """Has ``task`` to do, too."""
        self._to_do.append(task)

    def watcher(self, watcher: Watcher) -> Watcher:
        """One that lets ``watcher`` see each batch later."""

        def see(batch: ScoredBatch) -> None:
            self.add(partial(watcher, batch))

        return see

    def run(self) -> None:
        """Does it all. What fails is logged: the payments are answered, and others wait."""
        tasks, self._to_do = self._to_do, []
        for task in tasks:
            try:
                task()
            except Exception:  # whatever it is
                log.exception("payments were answered, and not counted")
