"""TorchServe's management API, over the Unix socket that alone has it."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from fraud_detect.errors import ServingError

_TIMEOUT = 120.0  # seconds; registering a model waits for its workers


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Management:
    """What a running server is told to do."""

    def __init__(self, socket_path: Path, token: str | None = None) -> None:
        self._path = socket_path
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def n_ready(self, name: str, version: str) -> int:
        """How many workers have loaded a model; 0 also where the server does not answer yet."""
        try:
            (model,) = self._call("GET", f"/models/{name}/{version}")
        except (OSError, ServingError, http.client.HTTPException):
            return 0
        return sum(worker["status"] == "READY" for worker in model["workers"])

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
