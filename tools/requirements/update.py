"""Resolves requirements.in into requirements_lock.txt, with hashes and without naming an index.

    ./bazelw run //:requirements.update                       keep what is locked, add what is new
    ./bazelw run //:requirements.update -- --upgrade          the newest of everything
    ./bazelw run //:requirements.update -- -P numpy           the newest numpy

Packages come from where the user's pip is configured to look.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit


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
        *("--output-file", "requirements_lock.txt", "requirements.in"),
        *extra_index(workspace),
        *sys.argv[1:],
    ]
    environment = os.environ | {"CUSTOM_COMPILE_COMMAND": "./bazelw run //:requirements.update"}
    return subprocess.run(command, cwd=workspace, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
