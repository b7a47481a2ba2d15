"""What a user of these commands may be shown instead of a traceback."""

from __future__ import annotations

from fraud_ml.errors import ArtifactError, DataError


class BackfillError(Exception):
    """A state cannot be rebuilt as things are; the message says what to do."""


class SparkError(Exception):
    """Spark does not run here, or has failed."""


class ResumeError(Exception):
    """There is another run than the one that is to go on."""


class WorkersError(RuntimeError):
    """A training on several processes failed: the message says why, and what to do."""


SHOWN: tuple[type[Exception], ...] = (
    ArtifactError,
    BackfillError,
    DataError,
    ResumeError,
    SparkError,
    WorkersError,
)
"""Errors whose message says what to do."""
