"""What a user of these commands may be shown instead of a traceback."""

from __future__ import annotations

from fraud_ml.errors import ArtifactError, DataError


class SparkError(Exception):
    """Spark does not run here, or has failed."""


class ResumeError(Exception):
    """There is another run than the one that is to go on."""


SHOWN: tuple[type[Exception], ...] = (ArtifactError, DataError, ResumeError, SparkError)
"""Errors whose message says what to do."""
