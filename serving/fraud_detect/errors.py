"""What the service refuses, and how it says so."""

from __future__ import annotations


class RequestError(ValueError):
    """A request that cannot be answered; its message goes to whoever sent it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status: 400 malformed, 413 too large, 415 of a type that is not read."""


class ServingError(Exception):
    """The service cannot start or go on; the message says what to do."""
