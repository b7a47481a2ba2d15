"""The keeper beside a server: started, started again if it ends, and stopped."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from fraud_detect.processes import DIES_WITH_US, python_path
from fraud_detect.worker_settings import WorkerSettings

STOP_WITHIN = 60.0
"""Seconds that it has to save a last snapshot."""

_PAUSE = 30.0  # seconds from one start to the next, at least

log = logging.getLogger(__name__)


class KeeperProcess:
    """Runs :mod:`fraud_detect.keep` for one version of a model."""

    def __init__(self, version: int, settings: WorkerSettings) -> None:
        """Starts it."""
        self._version = version
        self._settings = settings
        self._process = self._start()

    def look_after(self) -> None:
        """Starts it again if it has ended, but not without a pause."""
        status = self._process.poll()
        if status is not None and time.monotonic() > self._not_before:
            log.error("the keeper has ended with status %d: starting another", status)
            self._process = self._start()

    def close(self) -> None:
        """Lets it save what is new, and ends it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        finally:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self._not_before = time.monotonic() + _PAUSE
        return subprocess.Popen(
            [*DIES_WITH_US, sys.executable, "-m", "fraud_detect.keep", str(self._version)],
            env={**os.environ, **self._settings.environment(), "PYTHONPATH": python_path()},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the launcher, which stops it last
        )
