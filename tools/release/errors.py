"""What stops a release."""

from __future__ import annotations

from collections.abc import Iterable


class ReleaseError(Exception):
    """A release cannot be planned or cut as things are; the message says what to do."""


def listed(problems: Iterable[str]) -> str:
    """Problems for a message, one a line."""
    return "".join(f"\n  - {problem}" for problem in problems)
