"""A TorchServe of our own: configured, started, watched and stopped."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from fraud_detect import at_work
from fraud_detect.archive import write_archive
from fraud_detect.decision_log import LOCK, wait_for_writers
from fraud_detect.drain import close
from fraud_detect.errors import ServingError
from fraud_detect.management import Management, management_of
from fraud_detect.processes import DIES_WITH_US, python_path
from fraud_detect.server_folder import ServerFolder
from fraud_detect.torchserve_batches import wait_microseconds
from fraud_detect.torchserve_config import (
    Ports,
    ServerOptions,
    log4j,
    metrics,
    properties,
)
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings

START_WITHIN = 120.0
"""Seconds until all workers must have loaded the model."""
DRAIN_WITHIN = 20.0
"""Seconds that it has to answer what it accepted."""
STOP_WITHIN = 10.0
"""Seconds to its end after that, before it is killed."""

log = logging.getLogger(__name__)

JAVA_HOME = Path(os.environ["JAVA_HOME"]).absolute() if "JAVA_HOME" in os.environ else None
"""`bazel run` names it relative to the folder that it starts programs in, which they leave."""


class TorchServe:
    """TorchServe with workers for one version of a model; a context manager.

    It has a folder of its own for archives, logs, sockets and tokens, which goes with it, and dies
    with the process that started it.
    """

    def __init__(self, version: str, settings: WorkerSettings, options: ServerOptions) -> None:
        """Nothing runs yet.

        Args:
            version: of the model: a number, or an alias.
            settings: for the workers.
            options: for the server.
        """
        self.options = options
        self._version = version
        self._settings = settings
        # Its path is short: those of sockets are in it.
        self.folder = ServerFolder(Path(tempfile.mkdtemp(prefix="fraud-")))
        self._process: subprocess.Popen[bytes] | None = None
        self._is_started = False

    def __enter__(self) -> TorchServe:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def ports(self) -> Ports:
        """Where it listens."""
        return self.options.ports

    @property
    def log(self) -> Path:
        """What it and its workers have to say."""
        return self.folder.log

    @property
    def management(self) -> Management:
        """What tells it to load another model."""
        return management_of(self.folder)

    def start(self) -> None:
        """Starts it, and returns when all workers are ready.

        Raises:
            ServingError: it does not start; the message has the end of its log.
        """
        _check_ports(self.options.ports)
        folder = self.folder
        folder.create()
        archive = folder.archives / f"{MODEL_NAME}.mar"
        write_archive(archive, name=MODEL_NAME, version=self._version)
        (folder.path / "log4j2.xml").write_text(log4j())
        (folder.path / "metrics.yaml").write_text(metrics())
        config = folder.path / "config.properties"
        config.write_text(properties(self.options, folder.path, self._version))
        program = [*DIES_WITH_US, *_java(folder, self.options.workers)]
        archives = ["-s", str(folder.archives)]
        arguments = ["--python", sys.executable, "-f", str(config), *archives, "-ncs"]
        with (folder.logs / "stdout.log").open("wb") as output:
            self._process = subprocess.Popen(
                [*program, *arguments],
                cwd=folder.path,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()
        token = folder.token("inference")
        if token is not None:
            folder.token_file.touch(mode=0o600)
            folder.token_file.write_text(token)

    def wait(self, seconds: float) -> None:
        """Waits that long for its end.

        Raises:
            ServingError: it ended by itself; the message has the end of its log.
        """
        assert self._process is not None  # noqa: S101 - start() made it
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise ServingError(f"TorchServe has ended:\n{self.folder.last_words()}")

    def stop(self) -> None:
        """Stops it: it takes no more requests, answers those that it has, and is gone."""
        if self._process is not None:
            try:
                self._end(self._process)
            finally:
                _kill_session(self._process)
            self._process = None
            wait_for_writers(self.folder.path, STOP_WITHIN)  # TorchServe kills those who decide
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if self._is_started and process.poll() is None:
            try:
                close(self.management, self.folder, within=DRAIN_WITHIN)
            except (OSError, ServingError, http.client.HTTPException) as error:
                log.warning("stopping without waiting for answers: %s", error)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN)

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            **os.environ,
            **self._settings.environment(),
            "PYTHONPATH": python_path(),
            **at_work.environment(folder.at_work),
            LOCK: str(folder.path),
            "LOG_LOCATION": str(folder.logs),
            "METRICS_LOCATION": str(folder.logs),
            "TEMP": str(folder.temporary),
            "TMPDIR": str(folder.temporary),
            "OMP_NUM_THREADS": "1",  # a batch of a few is done before a second thread has begun
        }

    def _wait_until_ready(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - start() made it
        deadline = time.monotonic() + START_WITHIN
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServingError(f"TorchServe did not start:\n{self.folder.last_words()}")
            time.sleep(0.05)
        self._is_started = True

    def _is_ready(self) -> bool:
        """Whether every worker has loaded the model; `/ping` says healthy long before."""
        # Made once the tokens are written.
        if not self.folder.management_socket.exists():
            return False
        return self.management.n_ready(self._version) == self.options.workers


def _check_ports(ports: Ports) -> None:
    """Raises :class:`ServingError` where another program has one of ours."""
    for name, port in ports.options().items():
        with socket.socket() as held:
            # As Java does: a connection that was closed a moment ago is in nobody's way.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("127.0.0.1", port))
            except OSError as error:
                raise ServingError(
                    f"cannot listen to port {port} of 127.0.0.1 ({error.strerror}): stop what does,"
                    f" or give another as {name}"
                ) from None


def _java(folder: ServerFolder, workers: int) -> list[str]:
    found = importlib.util.find_spec("ts")
    if found is None or found.origin is None:
        raise ServingError("TorchServe is not installed: there is no package ts")
    package = Path(found.origin).resolve().parent
    frontend = package / "frontend"
    wait_microseconds(frontend / "model-server.jar", folder.classes)
    return [
        str(JAVA_HOME / "bin" / "java") if JAVA_HOME else "java",
        f"-Dmodel_server_home={package.parent}",
        f"-Dlog4j.configurationFile=file://{folder.path / 'log4j2.xml'}",
        f"-Djava.io.tmpdir={folder.temporary}",
        *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4"),
        # On two cores Java has no pool by itself, and starts a thread for each batch of a worker.
        f"-Djava.util.concurrent.ForkJoinPool.common.parallelism={max(2, workers)}",
        *("-cp", f"{folder.classes}:{frontend}/*", "org.pytorch.serve.ModelServer"),
    ]


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Ends whatever is left of its workers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
