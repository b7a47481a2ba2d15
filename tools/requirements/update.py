"""Resolves requirements.in into requirements_lock.txt, with hashes and without naming an index.

    ./bazelw run //:requirements.update                       keep what is locked, add what is new
    ./bazelw run //:requirements.update -- --upgrade          the newest of everything
    ./bazelw run //:requirements.update -- -P numpy           the newest numpy

Packages come from where the user's pip is configured to look. What changed is listed at the end:
from which version to which, who wants it, and with a "!" where the first number of the version
changed.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tools.requirements.lock import Pin, differences, read_lock

LOCK = "requirements_lock.txt"


def extra_index(workspace: Path) -> list[str]:
    """Options that name the index of .bazelrc, where this machine reaches it."""
    flags = (workspace / ".bazelrc").read_text(encoding="utf-8")
    match = re.search(r"^common --repo_env=PIP_EXTRA_INDEX_URL=(\S+)$", flags, re.MULTILINE)
    if match is None:
        return []
    host = urlsplit(match[1]).hostname
    try:
        socket.create_connection((host, 443), timeout=2).close()
    except OSError:
        return []
    return ["--extra-index-url", match[1]]


def main() -> int:
    """The exit code of pip-compile, which leaves the lock as it was when it fails."""
    workspace = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    command = [
        *(sys.executable, "-m", "piptools", "compile", "--quiet"),
        *("--generate-hashes", "--allow-unsafe", "--strip-extras"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"),
        *("--output-file", LOCK, "requirements.in"),
        *extra_index(workspace),
        *sys.argv[1:],
    ]
    environment = os.environ | {"CUSTOM_COMPILE_COMMAND": "./bazelw run //:requirements.update"}
    before = locked(workspace)
    status = subprocess.run(command, cwd=workspace, env=environment, check=False).returncode
    if status == 0:
        sys.stdout.write(report(before, locked(workspace)))
    return status


def locked(workspace: Path) -> dict[str, Pin]:
    """The packages of the workspace's lock; none where there is no lock yet."""
    lock = workspace / LOCK
    return read_lock(lock.read_text(encoding="utf-8")) if lock.exists() else {}


def report(before: dict[str, Pin], after: dict[str, Pin]) -> str:
    """What an update changed, for the one who reviews it."""
    lines = list(differences(before, after))
    if not lines:
        return f"{LOCK}: {len(after)} packages, as before\n"
    jumps = sum(line.startswith("!") for line in lines)
    warning = f", {jumps} of them in the first number (!)" if jumps else ""
    summary = f"{LOCK}: {len(after)} packages, {len(lines)} changes{warning}"
    return "\n".join([summary, *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
