"""What all child processes of the service are given."""

from __future__ import annotations

import os
import sys

DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
"""Goes before a program, which then gets SIGTERM when the process that started it ends, however
that may be."""


def python_path() -> str:
    """``PYTHONPATH`` by which a child imports what this process can."""
    return os.pathsep.join(path for path in sys.path if path)
