"""Makes TorchServe wait microseconds, not milliseconds, for a batch to fill.

Of what waits, TorchServe 0.12.0 hands a worker one request, and as many more as come within
`maxBatchDelay` milliseconds of each other. One millisecond is the least: with none it takes two at
most. So a payment that comes alone is answered a millisecond later than it could be, and many at
once would be a batch without any waiting, since they come while the one before is scored.

The unit is one constant of one class, `TimeUnit.MILLISECONDS`. A copy of that class with another
constant lies on the class path before TorchServe's own. There will be no release after 0.12.0 that
could change the class; another one is left as it is, slower and as right.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from pathlib import Path

_CLASS = "org/pytorch/serve/wlm/Model.class"
_KNOWN = "7c5523f1fe77fe79aa32665469e17725e70518692abcf4987989ef72f10d4cff"  # SHA-256
_MILLISECONDS, _MICROSECONDS = b"MILLISECONDS", b"MICROSECONDS"  # as long as each other

log = logging.getLogger(__name__)


def wait_microseconds(frontend: Path, classes: Path) -> None:
    """Writes the class that waits microseconds.

    Args:
        frontend: TorchServe's `model-server.jar`.
        classes: an empty folder, to be on the class path before it.
    """
    with zipfile.ZipFile(frontend) as jar:
        content = jar.read(_CLASS)
    if hashlib.sha256(content).hexdigest() != _KNOWN:
        log.warning("an unknown TorchServe: each request waits 1 ms for others to join it")
        return
    path = classes / _CLASS
    path.parent.mkdir(parents=True)
    path.write_bytes(content.replace(_MILLISECONDS, _MICROSECONDS))
