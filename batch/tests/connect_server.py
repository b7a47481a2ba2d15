"""A server of Spark Connect that a test starts, and that ends with it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

_STARTED = r"Spark Connect server started at: [\d.]+:(\d+)"
_SETTINGS = {
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}
# For the command line: on a free port, for nobody but this machine.
SETTINGS = [word for it in _SETTINGS.items() for word in ("--conf", "=".join(it))]


@contextmanager
def connect_server(command: list[str], env: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Runs the command in a folder, with its output in `log` there; yields the server's URL."""
    log = folder / "log"
    with log.open("w") as said:
        started = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said)
    try:
        while started.poll() is None and not re.search(_STARTED, log.read_text()):
            try:
                started.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
        there = re.search(_STARTED, log.read_text())
        assert there is not None, log.read_text()
        yield f"sc://127.0.0.1:{there[1]}"
    finally:
        for child in psutil.Process(started.pid).children(recursive=True):
            child.kill()
        started.kill()
        started.wait()
