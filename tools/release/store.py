"""Wheels of releases: those that are kept, and those that can be made again.

A wheel is a function of its files, so it need not be kept: git has the files under the release's
tag, and the matrix knows the checksum that must come out. To keep it spares the work, and is what
counts where a later flit_core or zlib would write other bytes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from tools.release.errors import ReleaseError
from tools.release.git import Git
from tools.release.matrix import Released
from tools.release.projects import Project
from tools.wheel.build_wheel import LICENCE, TAG, WheelError, build_wheel


@dataclass(frozen=True, slots=True)
class WheelStore:
    """A folder of wheels; `pip install --find-links` reads it."""

    folder: Path

    def wheel(self, git: Git, project: Project, released: Released) -> Path:
        """The wheel of a release; made from its tag where the folder has it not.

        Raises:
            ReleaseError: it is not the one that was released, and cannot be made.
        """
        name = f"{project.package}-{released.version}{TAG}"
        path = self.folder / name
        if not path.is_file():
            tag = project.tag(Version(released.version))
            if tag not in git.tags():
                raise ReleaseError(
                    f"{path} is missing, and so is the tag {tag} to make it from: git fetch --tags"
                )
            with tempfile.TemporaryDirectory() as aside:
                made = wheel_at(git, tag, project, Path(aside))
                check(made, released, f"the wheel that tag {tag} makes")
                self.keep(made)
        check(path, released, str(path))
        return path

    def keep(self, wheel: Path) -> None:
        """Puts a copy of the wheel there, whole; an equal one stays.

        Raises:
            ReleaseError: there is another one of that name.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / wheel.name
        content = wheel.read_bytes()
        if path.exists() and path.read_bytes() != content:
            raise ReleaseError(
                f"{path} is another wheel of the same version: it is none of ours, or was made"
                " before its release was; remove it"
            )
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as aside:
            aside.write(content)
        Path(aside.name).chmod(0o644)
        Path(aside.name).rename(path)


def checksum(wheel: Path) -> str:
    """The SHA-256 of the file."""
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def check(wheel: Path, released: Released, what: str) -> None:
    """Raises :class:`ReleaseError` where the wheel is not the one that was released."""
    if checksum(wheel) != released.sha256:
        raise ReleaseError(
            f"{what} is not {released.project} {released.version} as it was released: its SHA-256"
            f" is {checksum(wheel)}, in the matrix {released.sha256}; put the released one there"
        )


def wheel_at(git: Git, state: str, project: Project, out: Path) -> Path:
    """The wheel of a project as it was in a commit, tag or tree of git.

    Raises:
        ReleaseError: there is no such state, or its files make no wheel.
    """
    prefix = f"{project.folder}/"
    inside = [project.package, "README.md", "pyproject.toml"]
    files = git.files(state, *(prefix + name for name in inside))
    licence = git.files(state, LICENCE)
    try:
        return build_wheel(
            {name.removeprefix(prefix): content for name, content in files.items()} | licence, out
        )
    except WheelError as error:
        raise ReleaseError(str(error)) from error


def usual_store(workspace: Path) -> Path:
    """`$FRAUD_HOME/releases`, or `.fraud/releases` in the workspace."""
    return Path(os.environ.get("FRAUD_HOME", workspace / ".fraud")) / "releases"
