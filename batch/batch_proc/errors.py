"""What a user of these commands may be shown instead of a traceback."""

from __future__ import annotations

from fraud_ml.errors import ArtifactError, DataError


class BackfillError(Exception):
    """A state cannot be rebuilt as things are; the message says what to do."""


SHOWN: tuple[type[Exception], ...] = (ArtifactError, BackfillError, DataError)
"""Errors whose message says what to do."""
