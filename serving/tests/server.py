"""A real TorchServe with a small model, for a test."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from payments import publish, small_artifact

from fraud_detect.ports import free_ports
from fraud_detect.torchserve import TorchServe
from fraud_detect.torchserve_config import ServerOptions
from fraud_detect.worker_settings import WorkerSettings
from fraud_ml.artifact import Artifact

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


def settings_in(folder: Path, *, feature_store: str | None = None) -> WorkerSettings:
    """Models in ``folder``, and state there or in ``feature_store``."""
    return WorkerSettings(
        model_store=str(folder / "models"),
        feature_store=feature_store or f"sqlite:///{folder / 'features.db'}",
        shadow_log=f"sqlite:///{folder / 'shadow.db'}",
    )


@contextmanager
def running_server(
    folder: Path,
    *,
    artifact: Artifact | None = None,
    decision_log: str = "",
    feature_store: str | None = None,
    **options: Any,
) -> Iterator[TorchServe]:
    """A server of a small model that is stored in ``folder`` first, without tokens unless asked.

    Args:
        folder: empty.
        artifact: in place of the small model.
        decision_log: the URL of one; empty: none.
        feature_store: URL; by default it is in ``folder``.
        **options: fields of ``ServerOptions``.
    """
    version = publish(folder / "models", artifact or small_artifact())
    stores = settings_in(folder, feature_store=feature_store)
    settings = replace(stores, decision_log=decision_log)
    server_options = ServerOptions(ports=free_ports(), **({"token_auth": False} | options))
    with TorchServe(str(version), settings, server_options) as server:
        yield server


Samples = dict[str, dict[tuple[str, ...], float]]
"""Values by metric and labels, but the host's, in the order in which they are declared."""


def told(text: str) -> Samples:
    """Our metrics in what `/metrics` says."""
    found: Samples = defaultdict(dict)
    for name, labels, value in re.findall(r"^(fraud_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        values = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        values.pop("Hostname", None)
        found[name][tuple(values.values())] = float(value)
    return found


def metrics_when(port: int, true: Callable[[Samples], bool], seconds: float = 30) -> Samples:
    """The metrics, as soon as ``true`` of them."""
    deadline = time.monotonic() + seconds
    while not true(found := told(ask(port, "/metrics").body.decode())):
        assert time.monotonic() < deadline, f"it did not come true: {dict(found)}"
        time.sleep(0.05)
    return found
