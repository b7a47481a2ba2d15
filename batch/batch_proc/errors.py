"""What a user of these commands may be shown instead of a traceback."""

from __future__ import annotations

from fraud_ml.errors import ArtifactError, DataError


class WorkersError(RuntimeError):
    """A training on several processes failed: the message says why, and what to do."""


SHOWN: tuple[type[Exception], ...] = (ArtifactError, DataError, WorkersError)
"""Errors whose message says what to do."""
