"""What a user of these commands may be shown instead of a traceback."""

from __future__ import annotations

from fraud_ml.errors import ArtifactError, DataError

SHOWN: tuple[type[Exception], ...] = (ArtifactError, DataError)
"""Errors whose message says what to do."""
