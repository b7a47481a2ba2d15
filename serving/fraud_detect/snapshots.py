"""Replicas in a feature store, so that a new process need not read the whole journal."""

from __future__ import annotations

from collections.abc import Iterator

from data_connector import StoreReplacedError, open_feature_store
from fraud_detect.errors import ServingError
from fraud_detect.replica import Replica
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.feature_state import FeatureState

_PIECE = 1_000_000  # bytes
_TRIES = 5


class Snapshots:
    """The latest replica of one spec, at a feature store's URL; an older one is replaced whole."""

    def __init__(self, url: str, spec: FeatureSpec) -> None:
        """Opens the store, and creates what is missing.

        Raises:
            ConnectorError: it cannot be opened.
        """
        self._spec = spec
        self._store = open_feature_store(url, name=f"state_{spec.hash[:16]}")

    def load(self) -> Replica:
        """The latest replica; an empty one at position 0 where none was saved.

        Raises:
            ConnectorError: the store cannot be read.
            ServingError: what is there is damaged, or of another version.
        """
        for _ in range(_TRIES):
            try:
                content = b"".join(stored.value for _, stored in self._store.items())
            except StoreReplacedError:  # by a newer one, meanwhile
                continue
            if not content:
                return Replica(FeatureState(self._spec))
            try:
                return Replica.from_bytes(content, self._spec)
            except ServingError as error:
                raise ServingError(
                    f"{self._store}: {error}; rebuild it: ./bazelw run //batch:backfill"
                ) from error
        raise ServingError(
            f"the feature state in {self._store} was replaced {_TRIES} times while it was read"
        )

    def save(self, replica: Replica) -> None:
        """Replaces what is there by ``replica``, at one moment.

        Raises:
            ConnectorError: the store cannot be written, and is as it was.
        """
        self._store.replace_all(_pieces(replica.to_bytes()))

    def close(self) -> None:
        """Closes the connection."""
        self._store.close()


def _pieces(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    for number, start in enumerate(range(0, len(content), _PIECE)):
        yield number.to_bytes(4, "big"), content[start : start + _PIECE]
