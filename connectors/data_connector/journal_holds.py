"""Who still needs which entries of a journal: so that whoever trims it leaves them there.

A hold runs out by itself: one that was forgotten must not fill the disk.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from data_connector.errors import ConflictError
from data_connector.feature_store import Stored, open_feature_store

_NAME = "journal_holds"


class JournalHolds:
    """The holds on the journal at a URL, kept beside it."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        """Opens them, and creates what is missing.

        Args:
            url: of the journal.
            clock: seconds since 1970-01-01 UTC, about the same on all machines.

        Raises:
            ConnectorError: as from `open_feature_store`.
        """
        self._store = open_feature_store(url, name=_NAME)
        self._clock = clock

    def hold(self, who: str, position: int, *, seconds: float) -> None:
        """From now on `who` needs all entries after `position`, for so many seconds.

        That takes the place of what `who` held before.

        Raises:
            ConnectorError: the store cannot be written.
        """
        value = json.dumps({"position": position, "until": self._clock() + seconds}).encode()
        while True:
            there = self._store.get_many([who])
            version = there[who].version if who in there else 0
            try:
                self._store.put_many({who: Stored(value, version)})
            except ConflictError:
                continue
            return

    def release(self, who: str) -> None:
        """`who` needs nothing any longer.

        Raises:
            ConnectorError: the store cannot be written.
        """
        self._store.delete_many([who])

    def needed_after(self) -> int | None:
        """Entries after this position are needed by someone; None: nobody needs any.

        Raises:
            ConnectorError: the store cannot be read.
        """
        held = [json.loads(stored.value) for _, stored in self._store.items()]
        now = self._clock()
        return min((one["position"] for one in held if one["until"] > now), default=None)

    def close(self) -> None:
        """Closes the connection."""
        self._store.close()
