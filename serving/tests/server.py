"""A real TorchServe with a small model, for a test."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payments import publish, small_artifact

from fraud_detect.torchserve import TorchServe
from fraud_detect.torchserve_config import Ports, ServerOptions
from fraud_detect.worker_settings import WorkerSettings

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    path: str,
    body: bytes | None = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] = JSON,
) -> Reply:
    """The answer to one request: POST with a body, GET without, unless ``method`` says other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers))
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def free_ports() -> Ports:
    """Ports that nobody listened to a moment ago."""
    sockets = [socket.socket() for _ in range(4)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        inference, metrics, grpc, grpc_management = (held.getsockname()[1] for held in sockets)
    finally:
        for held in sockets:
            held.close()
    return Ports(
        inference=inference, metrics=metrics, grpc_inference=grpc, grpc_management=grpc_management
    )


def settings_in(folder: Path, *, feature_store: str | None = None) -> WorkerSettings:
    """Models in ``folder``, and state there or in ``feature_store``."""
    return WorkerSettings(
        model_store=str(folder / "models"),
        feature_store=feature_store or f"sqlite:///{folder / 'features.db'}",
    )


@contextmanager
def running_server(
    folder: Path, *, feature_store: str | None = None, **options: Any
) -> Iterator[TorchServe]:
    """A server of a small model that is stored in ``folder`` first, without tokens unless asked.

    Args:
        folder: empty.
        feature_store: URL; by default it is in ``folder``.
        **options: fields of ``ServerOptions``.
    """
    version = publish(folder / "models", small_artifact())
    server_options = ServerOptions(ports=free_ports(), **({"token_auth": False} | options))
    settings = settings_in(folder, feature_store=feature_store)
    with TorchServe(str(version), settings, server_options) as server:
        yield server
