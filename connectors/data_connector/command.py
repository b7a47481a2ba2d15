"""What every command of this repository does around its work: folders, signals, exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from data_connector.errors import ConnectorError

DONE, FAILED, WRONG_USAGE = 0, 1, 2


class UsageError(Exception):
    """An option, or a file that an option names, cannot be used; the exit code is 2."""


def fraud_home() -> Path:
    """The folder of all state: `$FRAUD_HOME`, or `.fraud` in the workspace.

    Outside of `bazel run`, which tells where the workspace is, the current folder's `.fraud`.
    """
    if home := os.environ.get("FRAUD_HOME"):
        return Path(home).absolute()
    return Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute() / ".fraud"


def run(command: Callable[[], None], *, shown: tuple[type[Exception], ...] = ()) -> int:
    """The exit code of `command`: 0 done, 1 failed, 2 wrong usage.

    Errors that tell the user what to do are shown as one message. Any other exception is a bug
    of ours and keeps its traceback.

    Args:
        command: what to do.
        shown: errors that tell it, beside those of this library and of the operating system.
    """
    # `bazel run` starts programs in a folder of its own; paths are relative to the user's.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    expected: tuple[type[Exception], ...] = (ConnectorError, OSError, *shown)
    try:
        command()
    except UsageError as error:
        return _say(f"error: {error}", WRONG_USAGE)
    except expected as error:
        return _say(f"error: {error}", FAILED)
    except KeyboardInterrupt:
        return _say("interrupted: what was not finished has been removed", FAILED)
    return DONE


def _say(message: str, status: int) -> int:
    sys.stderr.write(f"{message}\n")
    return status
