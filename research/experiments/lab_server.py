"""A marimo server on this machine, for whoever has its token: the lab, or one page of it."""

from __future__ import annotations

import argparse
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from data_connector.command import UsageError

HOST = "127.0.0.1"  # who else wants in, takes a tunnel
DEFAULT_PORT = 2718
PROJECTS = ("ml", "connectors", "serving", "batch", "research")

_SETTINGS = """\
# Made by //research:lab, and yours from then on: the lab's own menu writes here, too.
[runtime]
auto_instantiate = true  # a notebook that is opened runs
auto_reload = "lazy"  # a cell whose imports were edited is stale, and runs when you say so

[display]
theme = "system"  # light or dark, as the browser is

[ai]
enabled = false  # what would send code to others

[formatting]
line_length = 100  # as in ruff.toml
"""
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1  # of Linux's prctl


class LabError(Exception):
    """The server does not start, or ended by itself; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """How to serve."""

    port: int
    browser: bool
    """Whether to open one."""
    home: Path
    """`$FRAUD_HOME`."""
    edit: bool
    """Whether notebooks can be changed; else one is shown, without its code."""

    @classmethod
    def of(cls, given: argparse.Namespace, *, home: Path, edit: bool) -> Server:
        """As the options of :func:`add_server_options` say.

        Raises:
            UsageError: the port is taken.
        """
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, given.port))
            except OSError as error:
                raise UsageError(
                    f"--port {given.port}: {error.strerror}; --port 0 takes any that is free"
                ) from error
            port = probe.getsockname()[1]
        return cls(port=port, browser=not given.no_browser, home=home, edit=edit)


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Let ``parser`` take the options that :meth:`Server.of` reads."""
    server = parser.add_argument_group("server")
    server.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"on {HOST}; 0: any that is free (default: {DEFAULT_PORT})",
    )
    server.add_argument(
        "--no-browser", action="store_true", help="print the address, and open no browser"
    )


def environment(workspace: Path, home: Path) -> dict[str, str]:
    """Of a process in which the workspace's own files are imported, and nothing is sent anywhere.

    Args:
        workspace: its projects come first on the path: what is edited there is what is imported.
        home: `$FRAUD_HOME`; the server's settings and state are kept below.
    """
    roots = [str(workspace / name) for name in PROJECTS] + [str(workspace)]
    state = home / "lab"
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*roots, *sys.path]),
        "FRAUD_HOME": str(home),
        "XDG_CONFIG_HOME": str(state),
        "XDG_STATE_HOME": str(state),
        "XDG_CACHE_HOME": str(state),
        "MARIMO_SKIP_UPDATE_CHECK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def serve(server: Server, notebook: Path) -> None:
    """Serves until it is interrupted; then no process is left.

    Args:
        server: how.
        notebook: relative to the workspace; what the address that is printed opens.

    Raises:
        LabError: the server does not start, or ends by itself.
    """
    workspace = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute()
    settings = server.home / "lab" / "marimo" / "marimo.toml"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(_SETTINGS, encoding="utf-8")
    token = secrets.token_urlsafe(24)
    process = _start(server, workspace, notebook, token)
    try:
        _wait_until_it_answers(process, server.port)
        query = {"access_token": token}
        if server.edit:
            query["file"] = str(notebook.relative_to("research"))
        url = f"http://{HOST}:{server.port}/?{urlencode(query, safe='/')}"
        sys.stdout.write(f"{notebook}: {url}\nCtrl-C ends it, and all that runs in it.\n")
        sys.stdout.flush()
        if server.browser:
            webbrowser.open(url)
        status = process.wait()
        raise LabError(f"the server ended by itself, with {status}: see above")
    finally:
        _stop(process)


def _start(server: Server, workspace: Path, notebook: Path, token: str) -> subprocess.Popen[bytes]:
    """The server's process, in a session of its own: Ctrl-C is ours to pass on."""
    options = ["--host", HOST, "--port", str(server.port), "--headless", "--token"]
    shown = workspace / "research" if server.edit else workspace / notebook
    options += ["--token-password-file", "-"]  # not in the list of processes
    if server.edit:
        command = ["edit", "--skip-update-check", "--no-sandbox", *options, str(shown)]
    else:
        command = ["run", "--no-sandbox", *options, str(shown)]
    process = subprocess.Popen(
        [sys.executable, "-m", "marimo", "--quiet", "--yes", *command],
        env=environment(workspace, server.home),
        cwd=workspace,
        stdin=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    assert process.stdin is not None  # noqa: S101 (for mypy)
    process.stdin.write(token.encode())
    process.stdin.close()
    return process


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise LabError(f"the server did not start: it ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise LabError(f"the server did not answer within {_START_SECONDS:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server, and whatever it leaves in its session."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
