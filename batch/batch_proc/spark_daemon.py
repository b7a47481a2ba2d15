"""Spark's daemon, which starts Python workers, with pyspark from where it is compiled already.

Spark puts an archive of pyspark's sources before all else on the path. To compile them takes more
than a second of each run. Where pyspark is installed, this daemon leaves the archive out.
"""

from __future__ import annotations

import importlib.util
import sys


def leave_archive_out(path: list[str]) -> list[str]:
    """``path`` without pyspark's archive, where another entry has pyspark."""
    others = [entry for entry in path if not entry.endswith("pyspark.zip")]
    before = sys.path[:]
    sys.path[:] = others
    try:
        there = importlib.util.find_spec("pyspark") is not None
    finally:
        sys.path[:] = before
    return others if there else path


if __name__ == "__main__":
    sys.path[:] = leave_archive_out(sys.path)
    from pyspark.daemon import manager

    manager()
