"""Errors that a user of the library can act on."""

from __future__ import annotations


class DataError(ValueError):
    """The data is wrong: the message names the column, row or id, and what to do about it."""


class ArtifactError(ValueError):
    """A model artifact cannot be trusted or read: the message names the file and the reason."""
