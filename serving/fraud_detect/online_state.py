"""The feature state of a process that scores: a replica, in step with the others by a journal.

Transactions are appended to the journal first, and counted when the journal has them: what was
answered is never lost to a killed process, and all processes count in one order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_connector import (
    ConnectorError,
    Journal,
    JournalReplacedError,
    JournalTrimmedError,
    open_journal,
)
from fraud_detect.errors import ServingError
from fraud_detect.snapshots import Snapshots
from fraud_ml import journal_entries
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.journal_entries import Transactions
from fraud_ml.replica import Floats, Replica

RETRY_AFTER = 1.0
"""Seconds that a journal that failed is left alone."""
CHECK_EVERY = 1.0
"""Seconds after which a process looks whether the journal is still the one that it has applied."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Features:
    """What a model takes, of B transactions."""

    rows: Floats
    """Shape ``(B, F)``."""
    degraded: bool
    """They lack all history, because the journal could not be reached: what depends on it is NaN,
    and the transactions do not count for later ones."""


_BACKFILL = (
    "the state of the model's features cannot be restored: the journal has been trimmed, and no"
    " snapshot of them goes back as far; backfill it first, ./bazelw run //batch:backfill"
)


def check_history(url: str, spec: FeatureSpec) -> bool:
    """Whether there is a snapshot; makes sure that the journal has what follows it.

    Args:
        url: of the feature store.
        spec: of the features.

    Raises:
        ConnectorError: the journal or the snapshots cannot be read.
        ServingError: the snapshot and the journal do not go back as far, or it is damaged.
    """
    with closing(Snapshots(url, spec)) as snapshots:
        replica = snapshots.load()
    with open_journal(url) as journal:
        try:
            journal.since(replica.position, limit=1)
        except JournalTrimmedError:
            raise ServingError(_BACKFILL) from None
    # One that was rebuilt from history beside an empty journal is at its beginning, too.
    return bool(replica.position or replica.origin)


class OnlineState:
    """Features of new transactions, which count for those of later ones."""

    def __init__(
        self,
        journal: Journal,
        snapshots: Snapshots,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Loads the latest snapshot, and applies all that the journal has since.

        Args:
            journal: shared by all who score.
            snapshots: of the spec's features.
            clock: seconds.

        Raises:
            ConnectorError: the journal or the snapshots cannot be read.
            ServingError: the snapshot is damaged, or older than what the journal still has.
        """
        self._journal = journal
        self._snapshots = snapshots
        self._clock = clock
        self._down_until = self._check_at = -float("inf")
        self._replica = snapshots.load()
        try:
            self.catch_up()
        except JournalTrimmedError:
            raise ServingError(_BACKFILL) from None

    @property
    def replica(self) -> Replica:
        """The state as of now; others read it between calls, and change nothing."""
        return self._replica

    def catch_up(self) -> None:
        """Applies what others have appended.

        Raises:
            ConnectorError: the journal or the snapshots cannot be read.
            ServingError: the snapshot is damaged.
        """
        try:
            self._follow(self._replica)
        except (JournalTrimmedError, JournalReplacedError) as error:
            self._load_anew(error)

    def count(self, columns: Mapping[str, Sequence[Any]]) -> Features:
        """The features of transactions, which count from now on.

        Args:
            columns: as :meth:`fraud_ml.feature_state.FeatureState.update` takes them, checked.
        """
        if self._clock() >= self._down_until:
            try:
                return Features(self._append(columns), degraded=False)
            except (ConnectorError, ServingError) as error:
                log.error("scoring without history for %g s: %s", RETRY_AFTER, error)
                self._down_until = self._clock() + RETRY_AFTER
        return Features(self._replica.state.without_history(columns), degraded=True)

    def _append(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        ours = Transactions(dict(columns))
        value = journal_entries.encode(ours)
        try:
            if self._clock() >= self._check_at:
                self._check(self._replica)
            entries = self._journal.append(value, after=self._replica.position)
        except (JournalTrimmedError, JournalReplacedError) as error:
            self._load_anew(error)
            entries = self._journal.append(value, after=self._replica.position)
        rows = np.empty((0, 0))
        for entry in entries:
            made_of = ours if entry.value == value else None
            rows = self._replica.apply(entry.position, entry.value, made_of)
        return rows

    def _load_anew(self, reason: ConnectorError) -> None:
        log.warning("loading the feature state anew: %s", reason)
        replica = self._snapshots.load()
        self._follow(replica)
        self._replica = replica

    def _follow(self, replica: Replica) -> None:
        self._check(replica)
        while entries := self._journal.since(replica.position):
            for entry in entries:
                replica.apply(entry.position, entry.value)

    def _check(self, replica: Replica) -> None:
        """Refuses a journal whose entry at the replica's position is not the one it applied.

        So it is where an older copy took the journal's place, and has grown since.
        """
        self._check_at = self._clock() + CHECK_EVERY
        if replica.position == 0:
            return
        try:
            there = self._journal.since(replica.position - 1, limit=1)
        except JournalTrimmedError:  # what comes after may still be there
            return
        if not there or not replica.has_applied(there[0].position, there[0].value):
            raise JournalReplacedError(
                f"{self._journal} has another history up to position {replica.position:,} than this"
                " state: it was replaced, or restored from an old copy"
            )
