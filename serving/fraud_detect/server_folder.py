"""The folder that a server has for itself: archives, logs, sockets and tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fraud_detect.torchserve_config import MANAGEMENT_SOCKET
from fraud_detect.worker_settings import MODEL_NAME


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """Where what lies in it."""

    path: Path

    @property
    def archives(self) -> Path:
        """The only folder that models may be loaded from."""
        return self.path / "archives"

    @property
    def classes(self) -> Path:
        """Java's, in place of some of TorchServe's own."""
        return self.path / "classes"

    @property
    def logs(self) -> Path:
        """What the server and its workers say."""
        return self.path / "logs"

    @property
    def log(self) -> Path:
        """The one to look into."""
        return self.logs / "ts_log.log"

    @property
    def temporary(self) -> Path:
        """Of the server's processes."""
        return self.path / "tmp"

    @property
    def at_work(self) -> Path:
        """The marks of workers that are at work, :mod:`fraud_detect.at_work`."""
        return self.path / "at-work"

    @property
    def keys(self) -> Path:
        """All tokens, as TorchServe writes them; missing where it wants none."""
        return self.path / "key_file.json"

    @property
    def token_file(self) -> Path:
        """The token for scoring alone; missing where the server wants none."""
        return self.path / "token"

    @property
    def management_socket(self) -> Path:
        """Of the management API: only who may enter the folder can use it."""
        return self.path / MANAGEMENT_SOCKET

    def archive_of(self, version: str) -> Path:
        """The archive of a version."""
        return self.archives / f"{MODEL_NAME}-{version}.mar"

    def token(self, kind: str) -> str | None:
        """The token for ``inference`` or ``management``; None where the server wants none."""
        if not self.keys.exists():
            return None
        key: str = json.loads(self.keys.read_text())[kind]["key"]
        return key

    def create(self) -> None:
        """Makes the folders in it."""
        for folder in (self.archives, self.classes, self.logs, self.temporary, self.at_work):
            folder.mkdir(exist_ok=True)

    def last_words(self) -> str:
        """The end of each log."""
        words = []
        for path in sorted(self.logs.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()
            words += [f"{path.name}: {line}" for line in lines[-15:]]
        return "\n".join(words)
