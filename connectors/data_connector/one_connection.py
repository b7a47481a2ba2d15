"""One connection of a process to a database: threads take turns, forks and losses do no harm."""

from __future__ import annotations

import os
import re
import secrets
import threading
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from data_connector.drivers import imported
from data_connector.errors import (
    ConnectorError,
    CorruptSourceError,
    OutcomeUnknownError,
    UnsupportedSourceError,
)
from data_connector.locations import DatabaseLocation, Location

# Of what a database keeps beside the values; another one is refused.
FORMAT = 1

MAX_NUMBER = 2**63 - 1

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Driver(Protocol):
    """A database behind one connection, as a backend opens it."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""

    def lost(self, error: Exception) -> bool:
        """Whether the connection is of no use after `error`, and a new one may be."""

    def translate(self, error: Exception) -> ConnectorError:
        """The driver's error in this library's words; secrets are taken out later."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""

    def connect(self) -> None:
        """Connect, and create what is missing.

        Raises:
            CorruptSourceError: what is there is of another kind or format.
        """

    def disconnect(self) -> None:
        """Drop the connection, in whatever state it is; nothing if there is none."""


Result = TypeVar("Result")
Backend = TypeVar("Backend", bound=Driver)


class OneConnection(Generic[Backend]):
    """What holds for all that is used through one connection a process.

    Threads may share it, and take turns. A fork closes the connection before and opens one on each
    side when next used. A connection that is lost is opened again, once a call, and the call
    repeated: every step of a backend does the same when it is done twice.
    """

    def __init__(self, backend: Backend, location: DatabaseLocation) -> None:
        self._backend = backend
        self._location = location
        self._lock = threading.Lock()
        self._closed = False
        with self._lock:
            self._connect()
        _open.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._location})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, for good."""
        with self._lock:
            self._closed = True
            self._backend.disconnect()

    def _call(
        self,
        step: Callable[[], Result],
        *,
        unknown: Callable[[str], OutcomeUnknownError] | None = None,
    ) -> Result:
        """What `step` returns, repeated on a new connection if the one it had is lost.

        With `unknown`, a step whose outcome is unknown in the end is the error that it makes of
        the reason.
        """
        with self._lock:
            if self._closed:
                raise ValueError(f"{self} is closed: open another")
            fresh = not self._backend.connected
            if fresh:
                self._connect()
            try:
                return step()
            except self._backend.errors as error:
                lost = self._backend.lost(error)
                if lost:
                    self._backend.disconnect()
                translated = self._translate(error)
            if lost and not fresh:
                try:
                    self._connect()
                    return step()
                except self._backend.errors as error:
                    if self._backend.lost(error):
                        self._backend.disconnect()
                    translated = self._translate(error)
                except ConnectorError as error:
                    translated = error
        # Whatever became of the second, the first may have been done.
        if lost and unknown is not None:
            raise unknown(f"and cannot be used again yet: {translated}")
        # Not chained: a driver's message may repeat the URL's secrets.
        raise translated from None

    def _connect(self) -> None:
        try:
            self._backend.connect()
        except self._backend.errors as error:
            self._backend.disconnect()
            raise self._translate(error) from None
        except ConnectorError:
            self._backend.disconnect()
            raise

    def _translate(self, error: Exception) -> ConnectorError:
        translated = self._backend.translate(error)
        translated.args = (self._location.redact(str(translated)),)
        return translated


# No connection outlives a fork: SQLite's locks would not hold in the child, and a server would
# take two processes for one. The locks are held meanwhile, so that no thread is in a call.
_open: weakref.WeakSet[OneConnection[Any]] = weakref.WeakSet()
_forking = threading.Lock()
_held: list[OneConnection[Any]] = []


def _before_fork() -> None:
    _forking.acquire()
    for one in list(_open):
        one._lock.acquire()
        _held.append(one)
        one._backend.disconnect()


def _after_fork() -> None:
    while _held:
        _held.pop()._lock.release()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def check_name(kind: str, name: str) -> None:
    """Refuse a name that is not safe to stand in a statement.

    Raises:
        ValueError: it has other characters in it.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a {kind}'s name starts with a lower-case letter and has up to 40 lower-case "
            f"letters, digits and '_'; got {name!r}"
        )


def random_number() -> int:
    """A number from 1 to 2**63 - 1 that was never there before."""
    return 1 + secrets.randbelow(MAX_NUMBER)


def backend_for(kind: str, location: Location, name: str, backends: Mapping[str, str]) -> Any:
    """The backend for the `kind` of thing called `name` at `location`, not connected yet.

    Args:
        kind: for messages.
        location: where.
        name: what it is called there.
        backends: by scheme, `module:class`; imported when first used, so that no one pays for a
            driver unasked.

    Raises:
        UnsupportedSourceError: no backend serves its scheme, or its driver is not installed.
    """
    target = backends.get(location.scheme)
    if target is None:
        raise UnsupportedSourceError(
            f"no {kind} for {location.scheme}: URLs; there are such for: "
            f"{', '.join(sorted(backends))}"
        )
    return imported(target, location.scheme)(location, name)


def another_kind(kind: str, place: object, name: str, reason: str) -> CorruptSourceError:
    """The error for something else of the thing's name."""
    return CorruptSourceError(
        f"{name!r} in {place} is no {kind} of format {FORMAT} ({reason}): choose another "
        "name=, or the version of this library that wrote it"
    )
