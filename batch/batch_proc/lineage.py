"""Where a model comes from: what a model artifact records of the data, the code and the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence

import pyarrow as pa

_PACKAGES = ("numpy", "pyarrow", "scikit-learn", "torch")


def fingerprint(tables: Sequence[pa.Table]) -> str:
    """SHA-256, in hex, of the rows and types of ``tables``, however they lie in memory."""
    digest = hashlib.sha256()
    for table in tables:
        sink = pa.BufferOutputStream()
        whole = table.combine_chunks().replace_schema_metadata(None)
        with pa.ipc.new_stream(sink, whole.schema) as stream:
            stream.write_table(whole)
        digest.update(sink.getvalue())
    return digest.hexdigest()


def commit() -> str:
    """The commit of the workspace, with ``-dirty`` where files differ from it; else ``unknown``."""
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")
    describe = ["git", "-C", workspace, "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*describe, "--exclude=*"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that have a part in a model's numbers."""
    of_packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **of_packages}
