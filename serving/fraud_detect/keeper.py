"""Keeps the journal short: saves a snapshot of the state now and then, and forgets what it has.

It runs beside the workers, in a process of its own, so that no payment waits for it.
"""

from __future__ import annotations

import logging
import threading

from data_connector import ConnectorError, Journal
from fraud_detect.online_state import OnlineState
from fraud_detect.snapshots import Snapshots

POLL = 0.5
"""Seconds between looks at the journal."""
EVERY = 300.0
"""Seconds between snapshots, where there is anything new."""

log = logging.getLogger(__name__)


class Keeper:
    """One for all who share a journal; several do no harm, and no good."""

    def __init__(self, journal: Journal, snapshots: Snapshots, *, every: float = EVERY) -> None:
        """Loads the state.

        Args:
            journal: of the transactions.
            snapshots: of the same spec as the models'.
            every: seconds.

        Raises:
            ConnectorError: the journal or the snapshots cannot be read.
            ServingError: the snapshot is damaged.
        """
        self._journal = journal
        self._snapshots = snapshots
        self._every = every
        self._state = OnlineState(journal, snapshots)
        self._saved = self._before = 0

    def run(self, stop: threading.Event) -> None:
        """Keeps until ``stop``; then saves once more."""
        waited = 0.0
        while not stop.wait(POLL):
            waited += POLL
            try:
                self._state.catch_up()
                if waited >= self._every:
                    waited = 0.0
                    self.save()
            except ConnectorError as error:
                log.error("no snapshot for now: %s", error)
        self._state.catch_up()
        self.save()

    def save(self) -> None:
        """Saves a snapshot, unless nothing is new, and trims the journal up to the one before.

        Not up to this one: whoever has just loaded the one before can still go on from there.

        Raises:
            ConnectorError: the store cannot be written; the snapshot before is still there.
        """
        position = self._state.replica.position
        if position == self._saved:
            return
        self._snapshots.save(self._state.replica)
        self._before, self._saved = self._saved, position
        if self._before:
            self._journal.trim(self._before)
