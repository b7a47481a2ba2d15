"""Ports that nobody listens to."""

from __future__ import annotations

import socket

from fraud_detect.torchserve_config import Ports


def free_ports() -> Ports:
    """Four that nobody listened to a moment ago."""
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
