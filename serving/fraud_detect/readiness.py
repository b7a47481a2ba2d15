"""Tells systemd, where it started the service, that it is ready, or stops."""

from __future__ import annotations

import os
import socket

_PLACE = "NOTIFY_SOCKET"


def tell_service_manager(state: str) -> None:
    """Says ``state``, as ``READY=1``, to who asked for it; does nothing where nobody did.

    The protocol is that of ``sd_notify(3)``: a datagram to the socket that the environment names.
    """
    place = os.environ.get(_PLACE)
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        # A name that begins with @ is no file's: Linux writes a zero byte there.
        told.sendto(state.encode(), f"\0{place[1:]}" if place.startswith("@") else place)
