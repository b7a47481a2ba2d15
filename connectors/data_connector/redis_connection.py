"""One connection to Redis 5 or later.

What is kept when the server stops is the server's business: by default it forgets the last minutes,
with `appendonly yes` the last second, with `appendfsync always` as well nothing. Let the server's
`maxmemory-policy` be `noeviction`: any other may drop what is kept.

Behind `rediss://`, the server's certificate is checked, against the system's CAs or those in the
file that `?ssl_ca_certs=` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from data_connector.errors import (
    ConnectorError,
    CorruptSourceError,
    QueryError,
    SourceUnreachableError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.locations import DatabaseLocation
from data_connector.one_connection import another_kind

# Words in the server's refusal of a write: no memory, no disk, a replica, too few replicas. A
# script's own class of error does not tell.
_REFUSALS = ("maxmemory", "MISCONF", "read only replica", "NOREPLICAS")


class RedisConnection:
    """A driver, as `OneConnection` asks for.

    Args:
        location: the server's.
        name: of what is kept in it. In braces it starts all keys, so that a cluster keeps them
            together.
        kind: what that is, for messages.
    """

    def __init__(self, location: DatabaseLocation, name: str, *, kind: str) -> None:
        self._location = location
        self._name = name
        self._kind = kind
        self._client: redis.Redis | None = None

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """All of redis-py's."""
        return (redis.RedisError,)

    def lost(self, error: Exception) -> bool:
        """Where the driver saw it; a server that answers late may answer the wrong question."""
        return isinstance(error, redis.ConnectionError | redis.TimeoutError)

    def translate(self, error: Exception) -> ConnectorError:
        """By the first word of what the server said, or the driver's class."""
        message = " ".join(str(error).split())
        if isinstance(error, redis.ConnectionError | redis.TimeoutError):
            encrypted = self._location.scheme == "rediss"
            tls = ", and that ?ssl_ca_certs=FILE names its CA's certificate" if encrypted else ""
            return SourceUnreachableError(
                f"cannot use {self._location}: {message}; check host, port, user and password{tls}"
            )
        if "WRONGTYPE" in message:
            return self._another(message)
        if any(word in message for word in _REFUSALS):
            return WriteError(f"{self._location} refused, nothing was written: {message}")
        return QueryError(f"{self._location} refused: {message}")

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None

    def connect(self) -> None:
        """Connect."""
        url = self._location.url.render_as_string(hide_password=False)
        try:
            # One connection; whether to repeat is `OneConnection`'s decision.
            self._client = redis.Redis.from_url(
                url, single_connection_client=True, retry=Retry(NoBackoff(), 0)
            )
        except (ValueError, TypeError):
            raise UnsupportedSourceError(
                f"cannot read the URL {self._location}: write redis://user:password@host:port/"
                "number, or unix:///path?db=number"
            ) from None

    def disconnect(self) -> None:
        """Close the connection."""
        if self._client is not None:
            with suppress(redis.RedisError, OSError):
                self._client.close()
            self._client = None

    @property
    def _open(self) -> redis.Redis:
        assert self._client is not None  # noqa: S101 - `OneConnection` connects first
        return self._client

    def _another(self, reason: str) -> CorruptSourceError:
        return another_kind(self._kind, self._location, self._name, reason)

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return self._open.register_script(script)(keys, arguments)
