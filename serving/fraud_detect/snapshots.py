"""Replicas in a feature store, so that a new process need not read the whole journal."""

from __future__ import annotations

from data_connector import SnapshotStore
from fraud_detect.errors import ServingError
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.feature_state import FeatureState
from fraud_ml.replica import Replica, head_of, name_of_snapshots


class RebuiltError(Exception):
    """The stored state was rebuilt from history, and is not what this process has gone on from."""


class _NewerError(Exception):
    """What is stored is further than what was to be stored."""


class Snapshots:
    """The latest replica of one spec, at a feature store's URL; an older one is replaced whole."""

    def __init__(self, url: str, spec: FeatureSpec) -> None:
        """Opens the store, and creates what is missing.

        Raises:
            ConnectorError: it cannot be opened.
        """
        self._spec = spec
        self._store = SnapshotStore(url, name=name_of_snapshots(spec))

    def load(self) -> Replica:
        """The latest replica; an empty one at position 0 where none was saved.

        Raises:
            ConnectorError: the store cannot be read.
            ServingError: what is there is damaged, or of another version.
        """
        content = self._store.load()
        if content is None:
            return Replica(FeatureState(self._spec))
        try:
            return Replica.from_bytes(content, self._spec)
        except DataError as error:
            raise ServingError(
                f"{self._store}: {error}; rebuild it: ./bazelw run //batch:backfill"
            ) from error

    def save(self, replica: Replica) -> None:
        """Replaces what is there by ``replica``, at one moment, unless that is further already.

        Raises:
            RebuiltError: what is there is of another origin: load it. It stays.
            ConnectorError: the store cannot be written, and is as it was.
        """

        def check(start: bytes | None) -> None:
            there = None if start is None else head_of(start)
            if there is None:  # nothing, or of no use
                return
            if there.origin != replica.origin:
                raise RebuiltError(f"{self._store} holds a state that was rebuilt from history")
            if there.position > replica.position:
                raise _NewerError

        try:
            self._store.save(replica.to_bytes(), check=check)
        except _NewerError:
            return

    def close(self) -> None:
        """Closes the connection."""
        self._store.close()
