"""A cache server in a process of its own, which can be killed and started again."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOKEN = "a token that only CI has".replace(" ", "-")
WRITER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class RunningCache:
    """A server that listens at `url`."""

    url: str
    process: subprocess.Popen[str]

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def connect(self, certificate: Path | None = None) -> http.client.HTTPConnection:
        host, port = self.address
        if certificate is None:
            return http.client.HTTPConnection(host, port, timeout=60)
        context = ssl.create_default_context(cafile=certificate)
        return http.client.HTTPSConnection(host, port, timeout=60, context=context)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] = WRITER,
        certificate: Path | None = None,
    ) -> Reply:
        """The answer to one request on a connection of its own."""
        connection = self.connect(certificate)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def put(self, content: bytes) -> str:
        """The path of a blob, stored."""
        path = f"/cas/{hashlib.sha256(content).hexdigest()}"
        assert self.ask("PUT", path, content).status == 200
        return path

    def status(self) -> dict[str, Any]:
        """The figures."""
        told: dict[str, Any] = json.loads(self.ask("GET", "/status.json").body)
        return told

    def kill(self) -> None:
        """Ends it with no chance to clean up."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_cache(
    folder: Path, *options: str, token: str | None = TOKEN, port: int = 0
) -> Iterator[RunningCache]:
    """A server of `folder`, ended with SIGTERM unless it has ended before."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("FRAUD_CACHE_TOKEN", None)
    if token is not None:
        environment["FRAUD_CACHE_TOKEN"] = token
    command = [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *(sys.executable, "-m", "tools.cache.serve"),
        *("--folder", str(folder), "--port", str(port), *options),
    ]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            first = process.stdout.readline()
            found = re.search(r"https?://\S+", first)
            assert found, f"it did not start: {first!r}"
            yield RunningCache(found[0], process)
        finally:
            process.terminate()
