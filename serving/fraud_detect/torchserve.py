"""A TorchServe of our own: configured, started, watched and stopped."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from fraud_detect.archive import write_archive
from fraud_detect.errors import ServingError
from fraud_detect.management import Management
from fraud_detect.processes import DIES_WITH_US, python_path
from fraud_detect.torchserve_config import (
    MANAGEMENT_SOCKET,
    Ports,
    ServerOptions,
    log4j,
    metrics,
    properties,
)
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings

START_WITHIN = 120.0
"""Seconds until all workers must have loaded the model."""
STOP_WITHIN = 20.0
"""Seconds that it has to answer what it accepted, before it is killed."""

# `bazel run` names it relative to the folder that it starts programs in, which they leave.
_JAVA_HOME = Path(os.environ["JAVA_HOME"]).absolute() if "JAVA_HOME" in os.environ else None


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
        self._folder = Path(tempfile.mkdtemp(prefix="fraud-"))  # short: it has sockets' paths
        self._process: subprocess.Popen[bytes] | None = None

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
        return self._folder / "logs" / "ts_log.log"

    @property
    def keys(self) -> Path:
        """The file with its tokens, if it wants any."""
        return self._folder / "key_file.json"

    @property
    def token_file(self) -> Path:
        """The file with the token for scoring alone, if it wants any."""
        return self._folder / "token"

    @property
    def management(self) -> Management:
        """What tells it to load another model."""
        token = self.token("management") if self.options.token_auth else None
        return Management(self._folder / MANAGEMENT_SOCKET, token)

    def token(self, kind: str = "inference") -> str:
        """The token for ``inference`` or ``management``.

        Raises:
            ServingError: it wants none.
        """
        if not self.options.token_auth:
            raise ServingError("this server wants no token")
        key: str = json.loads(self.keys.read_text())[kind]["key"]
        return key

    def start(self) -> None:
        """Starts it, and returns when all workers are ready.

        Raises:
            ServingError: it does not start; the message has the end of its log.
        """
        archives = self._folder / "archives"
        for folder in (archives, self._folder / "logs", self._folder / "tmp"):
            folder.mkdir(exist_ok=True)
        write_archive(archives / f"{MODEL_NAME}.mar", name=MODEL_NAME, version=self._version)
        (self._folder / "log4j2.xml").write_text(log4j())
        (self._folder / "metrics.yaml").write_text(metrics())
        config = self._folder / "config.properties"
        config.write_text(properties(self.options, self._folder, self._version))
        program = [*DIES_WITH_US, *_java(self._folder)]
        arguments = ["--python", sys.executable, "-f", str(config), "-s", str(archives), "-ncs"]
        with (self._folder / "logs" / "stdout.log").open("wb") as output:
            self._process = subprocess.Popen(
                [*program, *arguments],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()
        if self.options.token_auth:
            self.token_file.touch(mode=0o600)
            self.token_file.write_text(self.token())

    def wait(self) -> None:
        """Waits for its end.

        Raises:
            ServingError: it ended by itself; the message has the end of its log.
        """
        if self._process is not None:
            self._process.wait()
            raise ServingError(f"TorchServe has ended:\n{self._last_words()}")

    def stop(self) -> None:
        """Stops it: it takes no more requests, answers those that it has, and is gone."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                pass
            finally:
                _kill_session(self._process)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        home = Path(self._folder)
        return {
            **os.environ,
            **self._settings.environment(),
            "PYTHONPATH": python_path(),
            "LOG_LOCATION": str(home / "logs"),
            "METRICS_LOCATION": str(home / "logs"),
            "TEMP": str(home / "tmp"),
            "TMPDIR": str(home / "tmp"),
            "OMP_NUM_THREADS": str(self._settings.threads),
        }

    def _wait_until_ready(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - start() made it
        deadline = time.monotonic() + START_WITHIN
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServingError(f"TorchServe did not start:\n{self._last_words()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        """Whether every worker has loaded the model; `/ping` says healthy long before."""
        try:
            management = self.management
        except (FileNotFoundError, json.JSONDecodeError):  # it has not written its tokens yet
            return False
        return management.n_ready(MODEL_NAME, self._version) == self.options.workers

    def _last_words(self) -> str:
        words = []
        for path in sorted((self._folder / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()
            words += [f"{path.name}: {line}" for line in lines[-15:]]
        return "\n".join(words)


def _java(folder: Path) -> list[str]:
    found = importlib.util.find_spec("ts")
    if found is None or found.origin is None:
        raise ServingError("TorchServe is not installed: there is no package ts")
    package = Path(found.origin).resolve().parent
    return [
        str(_JAVA_HOME / "bin" / "java") if _JAVA_HOME else "java",
        f"-Dmodel_server_home={package.parent}",
        f"-Dlog4j.configurationFile=file://{folder / 'log4j2.xml'}",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4"),
        *("-cp", f"{package / 'frontend'}/*", "org.pytorch.serve.ModelServer"),
    ]


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Ends whatever is left of its workers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
