"""How the commands here end: 0 done, 1 something found or failed, 2 wrong usage."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

DONE, FOUND, WRONG_USAGE = 0, 1, 2


class SupplyError(Exception):
    """What a user gave cannot be used; the message says what is wrong and what to do."""


def run(command: Callable[[], int]) -> int:
    """The exit code of ``command``, whose paths are relative to where the user is."""
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    try:
        return command()
    except SupplyError as error:
        sys.stderr.write(f"error: {error}\n")
        return WRONG_USAGE
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        return FOUND
