"""The Spark session for a training, and all that its processes need of their surroundings."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.java_gateway import launch_gateway
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

from batch_proc.errors import WorkersError

_LOG4J = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = spark: %m%n
"""


@contextmanager
def training_session(
    number: int, master: str, *, folder: Path, java_home: Path | None
) -> Iterator[TorchDistributor]:
    """What runs a function in ``number`` processes, which have the files of ``folder``.

    Args:
        number: of processes.
        master: Spark's.
        folder: with the rows, as `.npy`; what Spark writes on this machine goes there, too.
        java_home: None: the `java` on PATH.

    Raises:
        WorkersError: Spark does not start.
    """
    here = master == "local" or master.startswith("local[")
    # It would tell on the standard error that it starts and ends.
    logging.getLogger("TorchDistributor").addHandler(logging.NullHandler())
    with _environment(java_home, folder if here else None):
        session = _start(master, folder, here=here)
        try:
            if not here:
                for path in sorted(folder.glob("*.npy")):
                    session.sparkContext.addFile(str(path))
            gpus = int(session.conf.get("spark.task.resource.gpu.amount", "0") or 0)
            # Processes of this machine choose their GPUs themselves.
            yield TorchDistributor(number, local_mode=here, use_gpu=not here and gpus > 0)
        finally:
            session.stop()


def _start(master: str, folder: Path, *, here: bool) -> SparkSession:
    log4j = folder / "log4j2.properties"
    log4j.write_text(_LOG4J, encoding="utf-8")
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.memory": "512m",  # no row passes through it
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log4j.as_uri()}",
        # A process that fails is an error here as there: with a checkpoint, the next run goes on.
        "spark.task.maxFailures": "1",
        "spark.stage.maxConsecutiveAttempts": "1",
        # Too few slots for all of them: say so within a minute, not within ten.
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "4",
    }
    if here:
        settings |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.local.dir": str(folder / "spark"),
        }
    else:
        settings |= {f"spark.executorEnv.{name}": value for name, value in _FOR_WORKERS.items()}
    conf = SparkConf().setMaster(master).setAppName("fraud-train").setAll(list(settings.items()))
    log = folder / "java.log"  # whatever Java tells on its standard error, as which modules it has
    try:
        with log.open("wb") as errors:
            gateway = launch_gateway(conf, {"stderr": errors})
    except PySparkRuntimeError as error:
        said = log.read_text(encoding="utf-8", errors="replace").strip() or str(error)
        raise WorkersError(
            f"Spark did not start: {said}; --workers needs Java 17 or 21: set JAVA_HOME to its"
            " folder"
        ) from error
    try:
        return SparkSession(SparkContext(gateway=gateway, conf=conf))
    except Exception as error:  # Spark has no common class for what it raises
        raise WorkersError(f"Spark did not start with --master {master}: {error}") from error


_FOR_WORKERS = {
    "PYTHONPATH": os.pathsep.join(sys.path),
    "PYTHONUNBUFFERED": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # that all weights have gradients is no warning
}
_HERE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}  # there may be no other


@contextmanager
def _environment(java_home: Path | None, folder: Path | None) -> Iterator[None]:
    """What children find: our packages, Java, and, on this machine, each other and ``folder``."""
    wanted = dict(_FOR_WORKERS)
    if folder is not None:
        wanted |= _HERE | {"TMPDIR": str(folder)}  # torchrun leaves a folder behind
    if java_home is not None:
        wanted = wanted | {"JAVA_HOME": str(java_home)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
