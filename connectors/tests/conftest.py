"""A real PostgreSQL, a disk of two megabytes, and children to kill: what the tests stand on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
import sqlalchemy as sa
from cutting_proxy import CuttingProxy
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tools.servers.mariadb import MariadbMissingError, MariadbServer, mariadb_running
from tools.servers.postgresql import PostgresqlServer, postgresql_running
from tools.servers.redis import RedisServer, redis_server
from tools.servers.small_disk import run_on_small_disk

# The same examples in every run.
settings.register_profile("hermetic", database=None, derandomize=True)
settings.load_profile("hermetic")

PASSWORD = "pa55:w/rd@%"


def pytest_configure(config: pytest.Config) -> None:
    """Keep what hypothesis writes, from the collection on, out of the working directory."""
    folder = tempfile.mkdtemp(prefix="hypothesis")
    set_hypothesis_home_dir(folder)
    config.add_cleanup(lambda: shutil.rmtree(folder))


@pytest.fixture(scope="session")
def server_to_kill() -> Iterator[PostgresqlServer]:
    """A server of its own for tests that kill it."""
    with postgresql_running(PASSWORD) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[sa.URL]:
    """The URL of a server that lives as long as the tests."""
    with postgresql_running(PASSWORD) as server:
        yield server.url


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


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """A MariaDB that lives as long as the tests."""
    try:
        running = mariadb_running(PASSWORD)
        with running as server:
            yield server
    except MariadbMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def mysql() -> Psql:
    """Runs one statement in a MariaDB, past the library; names may stand in double quotes."""

    def run(url: str, statement: str) -> list[tuple[object, ...]]:
        driver = sa.make_url(url).set(drivername="mysql+pymysql")
        ansi = {"sql_mode": "ANSI_QUOTES", "charset": "utf8mb4"}
        engine = sa.create_engine(
            driver, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=ansi
        )
        with engine.connect() as connection:
            result = connection.execution_options(no_parameters=True).exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run


@pytest.fixture
def mariadb(mariadb_server: MariadbServer, mysql: Psql) -> str:
    """The URL of an empty database, whatever locks a failed test has left in another."""
    name = f"fraud_{uuid4().hex}"
    mysql(mariadb_server.url.render_as_string(hide_password=False), f"CREATE DATABASE {name}")
    return mariadb_server.url.set(database=name).render_as_string(hide_password=False)


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

    def run(script: str) -> str:
        command = [sys.executable, "-c", script]
        done = run_on_small_disk(tmp_path / "disk", "2m", command, child_environment())
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


@pytest.fixture(params=["postgresql", "redis"])
def direct(request: pytest.FixtureRequest) -> str:
    """The URL of an empty server."""
    fixture = "postgresql" if request.param == "postgresql" else "redis_url"
    found: str = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def proxy(direct: str, request: pytest.FixtureRequest) -> Iterator[CuttingProxy]:
    """Somebody in between, who can lose the answers of that server."""
    if direct.startswith("unix:"):
        session: RedisServer = request.getfixturevalue("redis_session")
        server = session.socket
    else:
        server = Path(str(sa.make_url(direct).query["host"]), ".s.PGSQL.5432")
    # In /tmp, since the path of a socket has at most 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="proxy", dir="/tmp") as folder,
        CuttingProxy(Path(folder) / server.name, server) as between,
    ):
        yield between


@pytest.fixture
def through_proxy(direct: str, proxy: CuttingProxy) -> str:
    """The URL of that server by the way of the proxy."""
    if direct.startswith("unix:"):
        return f"unix://{proxy.path}"
    changed = sa.make_url(direct).update_query_dict({"host": str(proxy.path.parent)})
    return changed.render_as_string(hide_password=False)
