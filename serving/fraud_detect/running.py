"""What a running server says of itself in the folder of all state, so that commands find it."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fraud_detect.errors import ServingError
from fraud_detect.server_folder import ServerFolder
from fraud_detect.worker_settings import WorkerSettings

_FILE = "server.json"
_LOCK = "server.lock"
"""Held as long as the server runs, by its launcher, and so by nobody once that was killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A server that runs."""

    pid: int
    """Of its launcher."""
    folder: str
    """Its own."""
    url: str
    """Where it scores."""
    settings: WorkerSettings

    @property
    def server_folder(self) -> ServerFolder:
        """Its own."""
        return ServerFolder(Path(self.folder))


@contextmanager
def only_server_of(home: Path) -> Iterator[None]:
    """Makes sure that there is no other server of the same state meanwhile.

    Removes what one left that was killed.

    Raises:
        ServingError: there is one.
    """
    home.mkdir(parents=True, exist_ok=True)
    file = home / _FILE
    with (home / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServingError(
                f"a server runs already{_shown(file)}: stop it, deploy to it by"
                " ./bazelw run //serving:deploy, or start this one with another $FRAUD_HOME"
            ) from None
        if file.exists():
            shutil.rmtree(_read(file).folder, ignore_errors=True)
            file.unlink()  # from here on, that it is there says that this one is ready
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def announce(home: Path, running: Running) -> None:
    """Lets others find a server that is ready, until the end of :func:`only_server_of`."""
    aside = home / f"{_FILE}.new"
    aside.touch(mode=0o600)  # URLs may have passwords
    aside.write_text(json.dumps(asdict(running), indent=2))
    aside.replace(home / _FILE)


def find_running(home: Path) -> Running:
    """The server that uses the state in ``home``.

    Raises:
        ServingError: none runs, or it is not ready yet.
    """
    try:
        with (home / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        if (home / _FILE).exists():
            return _read(home / _FILE)
        raise ServingError(f"the server of {home} is not ready yet, or stops: try again") from None
    except FileNotFoundError:
        pass
    raise ServingError(f"no server of {home} runs: start one, ./bazelw run //serving:serve")


def _read(file: Path) -> Running:
    said = json.loads(file.read_text())
    return Running(**said | {"settings": WorkerSettings(**said["settings"])})


def _shown(file: Path) -> str:
    return f" (process {_read(file).pid})" if file.exists() else ""
