"""One value of any size in a feature store, of which the latest is kept: a snapshot of a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from data_connector.errors import StoreReplacedError
from data_connector.feature_store import open_feature_store

_PIECE = 1_000_000  # bytes
_TRIES = 5

Check = Callable[[bytes | None], None]
"""Is told how what is stored begins, None where nothing is, and raises where that must stay."""


class SnapshotStore:
    """The latest snapshot of something; an older one is replaced whole, at one moment.

    It is kept in pieces, as the values of a feature store that holds nothing else.
    """

    def __init__(self, url: str, *, name: str) -> None:
        """Opens the store, and creates what is missing.

        Args:
            url: as that of `open_feature_store`.
            name: the feature store's.

        Raises:
            ConnectorError: as from `open_feature_store`.
        """
        self._store = open_feature_store(url, name=name)

    def __str__(self) -> str:
        """Where it is, without secrets."""
        return str(self._store)

    def load(self) -> bytes | None:
        """The latest snapshot; None where there is none.

        Raises:
            StoreReplacedError: by a newer one, each time that it was tried.
            ConnectorError: the store cannot be read.
        """
        for tries in range(_TRIES):
            try:
                # Redis gives keys in an order of its own.
                pieces = sorted((key, stored.value) for key, stored in self._store.items())
            except StoreReplacedError:
                if tries + 1 == _TRIES:
                    raise
                continue
            break
        return b"".join(value for _, value in pieces) or None

    def start(self) -> bytes | None:
        """How the latest snapshot begins: up to a megabyte; None where there is none.

        Raises:
            ConnectorError: the store cannot be read.
        """
        first = _key(0)
        found = self._store.get_many([first])
        return found[first].value if found else None

    def save(self, content: bytes, *, check: Check | None = None) -> None:
        """Replaces what is there by `content`.

        Args:
            content: not empty.
            check: what it accepts is what is replaced, and nothing that another stored meanwhile.
                Its errors pass through, and the store is as it was.

        Raises:
            StoreReplacedError: another save began later. Nothing was replaced by this.
            ConnectorError: the store cannot be written, and is as it was.
        """
        if not content:
            raise ValueError("a snapshot has at least one byte")
        self._store.replace_all(self._pieces(content, check))

    def close(self) -> None:
        """Closes the connection."""
        self._store.close()

    def _pieces(self, content: bytes, check: Check | None) -> Iterator[tuple[bytes, bytes]]:
        # This runs when the replacement has begun: one that ended before is seen here, and one
        # that has not is broken off by ours.
        if check is not None:
            check(self.start())
        for number, start in enumerate(range(0, len(content), _PIECE)):
            yield _key(number), content[start : start + _PIECE]


def _key(number: int) -> bytes:
    return number.to_bytes(4, "big")
