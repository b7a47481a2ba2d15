"""Lets workers answer what they have before they are ended."""

from __future__ import annotations

import time

from fraud_detect.archive import write_archive
from fraud_detect.at_work import are_idle
from fraud_detect.management import Management
from fraud_detect.server_folder import ServerFolder
from fraud_detect.worker_settings import MODEL_NAME

CLOSED = "closed"
"""A version without workers: what is sent to it is answered by 503."""

_LOOK = 0.01  # seconds between looks
_QUIET = 0.25  # seconds; a request is on its way to a worker for a thousandth of it


def close(management: Management, folder: ServerFolder, *, within: float) -> None:
    """Lets all new requests be answered by 503, and those that were accepted by their workers.

    Args:
        management: of the server.
        folder: of the server.
        within: seconds; what is not answered then will not be.
    """
    versions = management.loaded()
    archive = folder.archive_of(CLOSED)
    write_archive(archive, name=MODEL_NAME, version=CLOSED)
    management.register(archive.name, versions[0], workers=0)
    management.make_default(CLOSED)
    deadline = time.monotonic() + within
    for version in (one.version for one in versions):
        wait_until_idle(management, folder, version, within=deadline - time.monotonic())


def wait_until_idle(
    management: Management, folder: ServerFolder, version: str, *, within: float
) -> bool:
    """Whether a version that gets no more requests has answered all; waits for it.

    Args:
        management: of the server.
        folder: of the server.
        version: that is no longer the default.
        within: seconds to wait.
    """
    now = time.monotonic()
    deadline, busy = now + within, now
    while now - busy < _QUIET:
        if now > deadline:
            return False
        time.sleep(_LOOK)
        now = time.monotonic()
        if management.describe(version).waiting or not are_idle(folder.at_work, version):
            busy = now
    return True
