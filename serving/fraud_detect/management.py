"""TorchServe's management API, over the Unix socket that alone has it."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fraud_detect.errors import ServingError
from fraud_detect.server_folder import ServerFolder
from fraud_detect.worker_settings import MODEL_NAME

_TIMEOUT = 120.0  # seconds; registering a model waits for its workers


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A version that a server has loaded."""

    version: str
    workers: int
    ready: int
    """Workers that have loaded the model."""
    waiting: int
    """Requests that no worker has taken yet."""
    batch_size: int
    batch_delay_us: int
    response_timeout_s: int


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Management:
    """What a running server is told to do with versions of the model.

    All methods raise :class:`ServingError` where the server refuses, and :class:`OSError` where it
    does not answer.
    """

    def __init__(self, socket_path: Path, token: str | None = None) -> None:
        self._path = socket_path
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def loaded(self) -> list[Loaded]:
        """The versions that the server has, in the order of its own."""
        return [_loaded(model) for model in self._call("GET", f"/models/{MODEL_NAME}/all")]

    def default(self) -> Loaded:
        """The version that answers where a request names none."""
        (model,) = self._call("GET", f"/models/{MODEL_NAME}")
        return _loaded(model)

    def describe(self, version: str) -> Loaded:
        """What the server has of a version."""
        (model,) = self._call("GET", f"/models/{MODEL_NAME}/{version}")
        return _loaded(model)

    def n_ready(self, version: str) -> int:
        """How many workers have loaded a version; 0 also where the server does not answer yet."""
        try:
            return self.describe(version).ready
        except (OSError, ServingError, http.client.HTTPException):
            return 0

    def register(self, archive: str, like: Loaded, *, workers: int) -> None:
        """Loads a version, and returns when all its workers have.

        Args:
            archive: its file's name, in the folder of archives.
            like: the version whose batches and timeouts it gets.
            workers: how many.
        """
        options = {
            "url": archive,
            "initial_workers": workers,
            "synchronous": "true",
            "batch_size": like.batch_size,
            "max_batch_delay": like.batch_delay_us,
            "response_timeout": like.response_timeout_s,
        }
        self._call("POST", f"/models?{urlencode(options)}")

    def make_default(self, version: str) -> None:
        """Lets a version answer from now on."""
        self._call("PUT", f"/models/{MODEL_NAME}/{version}/set-default")

    def unregister(self, version: str) -> None:
        """Drops a version and its workers, in the middle of whatever they do."""
        self._call("DELETE", f"/models/{MODEL_NAME}/{version}")

    def _call(self, method: str, path: str) -> Any:
        connection = _Connection(self._path)
        try:
            connection.request(method, path, headers=self._headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise ServingError(f"TorchServe: {method} {path}: {answer.status} {content.decode()}")
        return json.loads(content)


def management_of(folder: ServerFolder) -> Management:
    """What tells the server in ``folder`` what to do."""
    return Management(folder.management_socket, folder.token("management"))


def _loaded(model: dict[str, Any]) -> Loaded:
    return Loaded(
        version=model["modelVersion"],
        workers=model["minWorkers"],
        ready=sum(worker["status"] == "READY" for worker in model["workers"]),
        waiting=model["jobQueueStatus"]["pendingRequests"],
        batch_size=model["batchSize"],
        batch_delay_us=model["maxBatchDelay"],
        response_timeout_s=model["responseTimeout"],
    )
