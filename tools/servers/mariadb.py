"""A real MariaDB from Debian's packages (`@mariadb`), for a test or a benchmark."""

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

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_SYSTEM_TABLES = ("mariadb_system_tables.sql", "mariadb_system_tables_data.sql")


class MariadbMissingError(Exception):
    """There is no MariaDB on this machine."""


class MariadbServer:
    """A server that can be killed and started again, and dies with the process that started it.

    Args:
        folder: empty, with a short path, since that of a socket has at most 107 bytes.
        password: of its only user.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self._programs = programs()
        self._folder = folder
        self._running: subprocess.Popen[str] | None = None
        self._drain = threading.Thread()
        self.url = sa.URL.create(
            "mysql",
            username="fraud",
            password=password,
            database="fraud",
            query={"unix_socket": str(folder / "socket")},
        )
        self._make_data(password)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._running is not None:
            return
        self._running = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *self._command(),
                *(f"--socket={self._folder / 'socket'}", "--skip-networking", "--skip-ssl"),
                *("--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M"),
                "--debug-no-sync",
            ],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",  # it logs statements in their client's encoding
        )
        self._drain = _wait_until_ready(self._running)

    def kill(self) -> None:
        """Kill the server where it stands."""
        server = self._running
        if server is None:
            raise RuntimeError("the server does not run")
        with server:
            server.send_signal(signal.SIGKILL)
            self._drain.join()
        self._running = None

    def _command(self) -> list[str]:
        share = self._programs / "usr/share/mariadb"
        return [
            # With the loader and the libraries beside it: the machine's may be older.
            str(self._programs / f"{_LIBRARIES}/ld-linux-x86-64.so.2"),
            *("--library-path", str(self._programs / _LIBRARIES)),
            str(self._programs / "usr/sbin/mariadbd"),
            *("--no-defaults", f"--datadir={self._folder / 'data'}", f"--tmpdir={self._folder}"),
            *(f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}"),
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]

    def _make_data(self, password: str) -> None:
        (self._folder / "data").mkdir()
        share = self._programs / "usr/share/mariadb"
        quoted = password.replace("\\", "\\\\").replace("'", "\\'")
        statements = [
            "CREATE DATABASE mysql;\nUSE mysql;\n",
            *((share / name).read_text(encoding="utf-8") for name in _SYSTEM_TABLES),
            "FLUSH PRIVILEGES;\nCREATE DATABASE fraud;\n",
            f"CREATE USER fraud IDENTIFIED BY '{quoted}';\n",
            "GRANT ALL ON *.* TO fraud WITH GRANT OPTION;\n",
        ]
        run = subprocess.run(
            [*self._command(), "--bootstrap", "--skip-log-bin"],
            input="".join(statements),
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode or "ERROR" in run.stderr:
            raise RuntimeError(f"MariaDB's bootstrap failed:\n{run.stderr}")


def programs() -> Path:
    """The folder that the packages are unpacked in.

    Raises:
        MariadbMissingError: they are not; it says why.
    """
    spec = importlib.util.find_spec("mariadb_programs")
    if spec is None or not spec.submodule_search_locations:
        raise MariadbMissingError("no MariaDB on the path of Python's modules: it is @mariadb's")
    folder = Path(spec.submodule_search_locations[0])
    if (folder / "missing").exists():
        raise MariadbMissingError((folder / "missing").read_text(encoding="utf-8"))
    return folder


@contextmanager
def mariadb_running(password: str) -> Iterator[MariadbServer]:
    """A new server that lives as long as the block, even if its process is killed."""
    with tempfile.TemporaryDirectory(prefix="my", dir="/tmp") as folder:
        server = MariadbServer(Path(folder), password)
        server.start()
        try:
            yield server
        finally:
            server.start()  # whoever killed it
            server.kill()


def _wait_until_ready(server: subprocess.Popen[str]) -> threading.Thread:
    assert server.stderr is not None  # noqa: S101 - narrows: it is a pipe
    log = []
    for line in server.stderr:
        log.append(line)
        if "ready for connections" in line:
            break
    else:
        raise RuntimeError("MariaDB did not start:\n" + "".join(log))
    # Or the pipe would fill up and stop the server.
    drain = threading.Thread(target=collections.deque, args=(server.stderr, 0), daemon=True)
    drain.start()
    return drain
