"""Ports that nobody listens to."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from fraud_detect.torchserve_config import Ports


def unused_ports(n: int) -> list[int]:
    """``n`` on loopback that nobody listened to a moment ago."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [one.getsockname()[1] for one in held]


def free_ports() -> Ports:
    """All that a server needs."""
    inference, metrics, grpc, grpc_management = unused_ports(4)
    return Ports(
        inference=inference, metrics=metrics, grpc_inference=grpc, grpc_management=grpc_management
    )
