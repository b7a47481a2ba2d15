"""Trying again, where that cannot do harm."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TypeVar

from data_connector.errors import AccessDeniedError, ConnectorError, SourceUnreachableError
from data_connector.observe import LOGGER

T = TypeVar("T")

# Seconds before the first retry; each further one waits twice as long, up to the longest.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


def passes(error: ConnectorError) -> bool:
    """Whether the same attempt may succeed later."""
    return isinstance(error, SourceUnreachableError) and not isinstance(error, AccessDeniedError)


def again(
    attempt: Callable[[], T], *, retries: int, harmless: Callable[[ConnectorError], bool]
) -> T:
    """What `attempt` returns, called up to `retries` times more after an error that passes.

    Args:
        attempt: what to do.
        retries: how many more calls, at most.
        harmless: whether to call again after this error is safe, and may help.

    Raises:
        ConnectorError: the last attempt's.
    """
    pause = FIRST_PAUSE
    for left in range(retries, 0, -1):
        try:
            return attempt()
        except ConnectorError as error:
            if not harmless(error):
                raise
            LOGGER.warning("trying again in %.1f s, %d tries left: %s", pause, left, error)
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return attempt()
