"""Keeps the journal short: saves snapshots of the state now and then, and forgets what they have.

It runs beside the workers, in a process of its own, so that no payment waits for it. There is a
state for each spec in use, and the journal keeps what any of them still needs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from data_connector import ConnectorError, JournalHolds, open_journal
from fraud_detect.errors import ServingError
from fraud_detect.online_state import OnlineState
from fraud_detect.snapshots import RebuiltError, Snapshots
from fraud_ml.errors import ArtifactError
from fraud_ml.feature_spec import FeatureSpec

POLL = 0.5
"""Seconds between looks at the journal, and at what is in use."""
EVERY = 300.0
"""Seconds between snapshots, where there is anything new."""

SpecsInUse = Callable[[], Iterable[FeatureSpec]]

log = logging.getLogger(__name__)


class _Kept:
    """The state of one spec's features."""

    def __init__(self, url: str, spec: FeatureSpec) -> None:
        self.snapshots = Snapshots(url, spec)
        self.journal = open_journal(url)
        self.state = OnlineState(self.journal, self.snapshots)
        self.saved = self.before = 0

    def save(self) -> None:
        """Saves a snapshot, unless nothing is new.

        Where the stored one was rebuilt meanwhile, by ``//batch:backfill``, goes on from that.
        """
        position = self.state.replica.position
        if position == self.saved:
            return
        try:
            self.snapshots.save(self.state.replica)
        except RebuiltError as error:
            log.warning("loading the feature state anew: %s", error)
            self.state = OnlineState(self.journal, self.snapshots)
            return
        self.before, self.saved = self.saved, position

    def close(self) -> None:
        """Closes the connections."""
        self.snapshots.close()
        self.journal.close()


class Keeper:
    """One for all who share a journal, and all specs that they use."""

    def __init__(self, url: str, in_use: SpecsInUse, *, every: float = EVERY) -> None:
        """Keeps nothing yet.

        Args:
            url: of the feature store.
            in_use: gives the specs in use as of now.
            every: seconds between snapshots.

        Raises:
            ConnectorError: the journal cannot be opened.
        """
        self._url = url
        self._in_use = in_use
        self._every = every
        self._journal = open_journal(url)
        self._holds = JournalHolds(url)
        self._kept: dict[str, _Kept] = {}
        self._lacking: set[str] = set()
        self._knows_all = False

    def run(self, stop: threading.Event) -> None:
        """Keeps until ``stop``; then saves once more."""
        waited = 0.0
        while not stop.wait(POLL):
            waited += POLL
            due = waited >= self._every
            self._work(save=due)
            if due:
                waited = 0.0
        self._work(save=True)

    def _work(self, *, save: bool) -> None:
        try:
            self.look()
            if save:
                self.save()
        except ConnectorError as error:
            log.error("no snapshot for now: %s", error)

    def look(self) -> None:
        """Takes in what is new: in the journal, and of specs.

        Raises:
            ConnectorError: the journal or the snapshots cannot be read.
        """
        try:
            wanted = {spec.hash: spec for spec in self._in_use()}
            self._knows_all = True
        except (ArtifactError, ConnectorError) as error:
            log.error("the journal is not trimmed, for want of knowing who needs it: %s", error)
            self._knows_all = False
            wanted = {}
        if self._knows_all:
            for gone in self._kept.keys() - wanted.keys():
                self._kept.pop(gone).close()
        for name in wanted.keys() - self._kept.keys():
            self._begin(name, wanted[name])
        for kept in self._kept.values():
            kept.state.catch_up()

    def save(self) -> None:
        """Saves snapshots, and trims the journal up to the oldest of those before.

        Not up to these: whoever has just loaded the one before can still go on from there. And
        not beyond what ``//batch:backfill`` holds, to rebuild a state from.

        Raises:
            ConnectorError: the store cannot be written; the snapshots before are still there.
        """
        for name, kept in list(self._kept.items()):
            try:
                kept.save()
            except ServingError as error:  # it was rebuilt, and that is of no use
                log.error("no state of the features %s is kept: %s", name[:16], error)
                self._kept.pop(name).close()
        through = min((kept.before for kept in self._kept.values()), default=0)
        held = self._holds.needed_after()
        if held is not None:
            through = min(through, held)
        if through and self._knows_all:
            self._journal.trim(through)

    def _begin(self, name: str, spec: FeatureSpec) -> None:
        try:
            self._kept[name] = _Kept(self._url, spec)
            self._lacking.discard(name)
        except ServingError as error:
            if name not in self._lacking:
                log.error("no state of the features %s is kept: %s", name[:16], error)
                self._lacking.add(name)
