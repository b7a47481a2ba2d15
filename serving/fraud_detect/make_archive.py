"""Writes the archive of whatever version is champion: `bazel build //serving:fraud_mar`."""

from __future__ import annotations

import sys
from pathlib import Path

from fraud_detect.archive import write_archive
from fraud_detect.worker_settings import MODEL_NAME

if __name__ == "__main__":
    write_archive(Path(sys.argv[1]), name=MODEL_NAME, version="champion")
