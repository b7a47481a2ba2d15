"""A feature store's one connection: opened again when lost, shared by threads, never by a fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

from data_connector.errors import ConnectorError, OutcomeUnknownError, SourceUnreachableError
from data_connector.feature_backends import FeatureBackend
from data_connector.locations import DatabaseLocation

Result = TypeVar("Result")


class FeatureConnection:
    """The connection to a backend, through which one thread at a time makes its calls.

    Raises:
        ConnectorError: there is no connecting.
    """

    def __init__(self, backend: FeatureBackend, location: DatabaseLocation) -> None:
        self._backend = backend
        self._location = location
        self._lock = threading.Lock()
        self._closed = False
        with self._lock:
            self._connect()
        _connections.add(self)

    def close(self) -> None:
        """Close it, for good."""
        with self._lock:
            self._closed = True
            self._backend.disconnect()

    def call(self, step: Callable[[], Result], *, version: int | None = None) -> Result:
        """What `step` returns, repeated on a new connection if the one it had is lost.

        With `version`, a step whose outcome is unknown in the end is an error that says so.
        """
        with self._lock:
            if self._closed:
                raise ValueError(f"FeatureStore({self._location}) is closed: open another")
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
                    translated = self._translate(error)
                    lost = self._backend.lost(error)
                    if lost:
                        self._backend.disconnect()
                except SourceUnreachableError as error:
                    translated = error
        if lost and version is not None:
            raise self.unknown(version, f"and cannot be used again yet: {translated}")
        # Not chained: a driver's message may repeat the URL's secrets.
        raise translated from None

    def unknown(self, version: int, since: str) -> OutcomeUnknownError:
        """The error for a write that may have been done, and what is known besides."""
        return OutcomeUnknownError(
            f"the connection to {self._location} was lost during a write, {since}; read the keys "
            f"again: if any has version {version}, the write was done",
            version=version,
        )

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
_connections: weakref.WeakSet[FeatureConnection] = weakref.WeakSet()
_forking = threading.Lock()
_held: list[FeatureConnection] = []


def _before_fork() -> None:
    _forking.acquire()
    for connection in list(_connections):
        connection._lock.acquire()
        _held.append(connection)
        connection._backend.disconnect()


def _after_fork() -> None:
    while _held:
        _held.pop()._lock.release()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
