"""Tells which workers are at work: TorchServe does not, and ends them in the middle of it.

A worker holds a shared lock from when it was sent a batch until it has sent the answers. So all
workers of a version are idle if its lock can be taken for oneself; one that was killed holds none.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_FOLDER = "FRAUD_AT_WORK"


def environment(folder: Path) -> dict[str, str]:
    """Variables by which workers find the folder of their marks."""
    return {_FOLDER: str(folder)}


class AtWork:
    """The mark of one worker."""

    def __init__(self, folder: Path, version: str) -> None:
        """Sets no mark yet.

        Args:
            folder: of all marks of a server.
            version: of the worker's model.
        """
        self._file = os.open(folder / version, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @classmethod
    def from_environment(cls, version: str) -> AtWork | None:
        """The mark of this worker; None where nobody wants to know."""
        folder = os.environ.get(_FOLDER)
        return None if folder is None else cls(Path(folder), version)

    def begin(self) -> None:
        """At work from now on."""
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def end(self) -> None:
        """No more."""
        fcntl.flock(self._file, fcntl.LOCK_UN)


def are_idle(folder: Path, version: str) -> bool:
    """Whether no worker of a version is at work."""
    try:
        file = os.open(folder / version, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
