"""A Spark session as our jobs need it: on this machine, or where spark-submit says."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from batch_proc.errors import SparkError

_CONNECT = "sc://"
_CONNECT_PORT = 15_002  # by default, as Spark's documentation has it
_PATIENCE = 10.0  # seconds for a server to take a connection

LOCAL = "local[*,4]"  # every core; a task whose Python worker was killed is tried four times

# Bazel says where Java and our packages are relative to where the command started, and it moves.
_JAVA_HOME = Path(os.environ["JAVA_HOME"]).absolute() if "JAVA_HOME" in os.environ else None
_OWN_FOLDER = str(Path(__file__).parent)
_PYTHON_PATH = os.pathsep.join(
    str(Path(entry).absolute()) for entry in sys.path if entry and entry != _OWN_FOLDER
)

_QUERIES = {
    # A time without a zone is UTC, as everywhere in this repository.
    "spark.sql.session.timeZone": "UTC",
    # 10,000 rows by default: with 65,536 the cost a batch is lost in that of the rows, and a batch
    # of some 40 columns stays below 20 MB.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
}

_OWN_JVM = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}

# Sorting and exchanging spill to disk; the rest of a machine's memory is for Python.
_FOR_ROWS = {"spark.driver.memory": "2g"}

# A JVM that only starts tasks is up after half the CPU seconds without its second compiler and its
# threads that collect garbage, and would not live long enough to gain by them.
_BRIEF = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_FOR_TASKS = {
    "spark.driver.extraJavaOptions": _BRIEF,
    "spark.executor.extraJavaOptions": _BRIEF,
    "spark.python.daemon.module": "batch_proc.spark_daemon",
}


@contextmanager
def spark_session(
    scratch: Path, *, master: str | None = None, for_rows: bool = False
) -> Iterator[SparkSession]:
    """A session with our settings: that of the process, or of spark-submit, or one of its own.

    One of its own ends with the block, and its JVM with it; what they say goes into
    `scratch/spark.log`.

    Args:
        scratch: a folder for what Spark spills, on a disk with room for the rows; it is made.
        master: where to run instead of on all cores of this machine; `sc://HOST:PORT` is a server
            of Spark Connect.
        for_rows: whether Spark itself works on rows, in its own JVM, rather than tasks of ours.

    Raises:
        SparkError: there is no Java, or Spark does not start.
    """
    if master is not None and master.startswith(_CONNECT):
        with _remote(master) as session:
            yield session
        return
    there = SparkSession.getActiveSession()
    if there is not None:
        yield _configured(there.newSession())
    elif "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit has started the JVM
        session = SparkSession.builder.getOrCreate()
        try:
            yield _configured(session)
        finally:
            session.stop()
    else:
        with _own(scratch, master or LOCAL, _FOR_ROWS if for_rows else _FOR_TASKS) as session:
            yield _configured(session)


def is_remote(session: SparkSession) -> bool:
    """Whether a session is one of Spark Connect, which has data frames and nothing below them."""
    return type(session).__module__.startswith("pyspark.sql.connect.")


@contextmanager
def _remote(url: str) -> Iterator[SparkSession]:
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or _CONNECT_PORT
    try:
        # By itself Spark's client goes on trying for minutes.
        socket.create_connection((host, port), _PATIENCE).close()
        session = SparkSession.builder.remote(url).create()
    except OSError as error:
        raise SparkError(f"no Spark Connect at {host}:{port}: {error}") from error
    except PySparkException as error:
        raise SparkError(f"Spark Connect does not start: {error}") from error
    try:
        yield _configured(session)
    finally:
        session.stop()


def _configured(session: SparkSession) -> SparkSession:
    for name, value in _QUERIES.items():
        session.conf.set(name, value)
    return session


@contextmanager
def _own(scratch: Path, master: str, more: Mapping[str, str]) -> Iterator[SparkSession]:
    if _JAVA_HOME is None and shutil.which("java") is None:
        raise SparkError("Spark needs Java 17 or newer: set JAVA_HOME, or put java on the PATH")
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ |= {"PYTHONPATH": _PYTHON_PATH, "PYSPARK_PYTHON": sys.executable}
    settings = {
        **_OWN_JVM,
        **more,
        "spark.master": master,
        "spark.app.name": "fraud-detect",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
    }
    if _JAVA_HOME is not None:
        os.environ["JAVA_HOME"] = str(_JAVA_HOME)
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        # Whatever the machine's name resolves to, nobody else need reach it.
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    configuration = SparkConf(loadDefaults=False).setAll(list(settings.items()))
    log = scratch / "spark.log"
    with log.open("ab") as said:
        try:
            streams = {"stdout": said, "stderr": said}
            gateway = launch_gateway(configuration, streams)  # type: ignore[no-untyped-call]
            context = SparkContext(conf=configuration, gateway=gateway)
        except Exception as error:
            raise SparkError(f"Spark does not start: {error}; it said why in {log}") from error
    session = SparkSession(context)
    try:
        yield session
    finally:
        with contextlib.suppress(ConnectionError):  # the JVM was killed, and that was said
            session.stop()
        _end(gateway)


def _end(gateway: Any) -> None:
    """Ends the JVM, so that it outlives neither the session nor the folder it works in."""
    with contextlib.suppress(Exception):
        gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()
    # PySpark keeps them for the next session, which needs a JVM that lives.
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
