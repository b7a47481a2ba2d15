"""A disk that is soon full, for a test: a real one, that one command alone sees."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_on_small_disk(
    disk: Path, size: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a command says, and how it ended, that started in a folder with a disk of its own.

    The disk is there for this command, and gone with it. Nobody need be root, where user namespaces
    are allowed.

    Args:
        disk: the folder, which is made.
        size: of the disk, as tmpfs writes it: `64k`, `2m`.
        command: a program and its arguments.
        env: its environment; None: this process's.
    """
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={size} tmpfs "$1" && cd "$1" && shift && exec "$@"'
    return subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "--"),
            *("sh", "-c", mount, "sh", disk, *command),
        ],
        env=os.environ if env is None else env,
        capture_output=True,
        text=True,
        check=False,
    )
