"""Wheels of releases: those that are kept, and those that can be made again.

A wheel is a function of its files, so it need not be kept: git has the files under the release's
tag, and the matrix knows the checksum that must come out. To keep it spares the work, and is what
counts where a later flit_core, zlib or Zig would write other bytes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from tools.release.errors import ReleaseError
from tools.release.git import Git
from tools.release.matrix import Released
from tools.release.native import machine_code
from tools.release.projects import Project
from tools.wheel.build_wheel import LICENCE, WheelError, build_wheel


@dataclass(frozen=True, slots=True)
class WheelStore:
    """A folder of wheels; `pip install --find-links` reads it."""

    folder: Path

    def wheels(self, git: Git, project: Project, released: Released) -> list[Path]:
        """The wheels of a release; made from its tag where the folder has not all of them.

        Raises:
            ReleaseError: one is not as it was released, or cannot be made.
        """
        paths = [self.folder / name for name in released.wheels]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            tag = project.tag(Version(released.version))
            if tag not in git.tags():
                raise ReleaseError(
                    f"{', '.join(missing)}: missing, and so is the tag {tag} to make it from:"
                    " git fetch --tags"
                )
            with tempfile.TemporaryDirectory() as aside:
                for made in wheels_at(git, tag, project, Path(aside)):
                    check(made, released, f"{made.name}, made from the tag {tag},")
                    self.keep(made)
        for path in paths:
            check(path, released, str(path))
        return paths

    def keep(self, wheel: Path) -> None:
        """Puts a copy of the wheel there, whole; an equal one stays.

        Raises:
            ReleaseError: there is another one of that name.
        """
        self.refuse_another(wheel)
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as aside:
            aside.write(wheel.read_bytes())
        Path(aside.name).chmod(0o644)
        Path(aside.name).rename(self.folder / wheel.name)

    def refuse_another(self, wheel: Path) -> None:
        """Raises :class:`ReleaseError` where another wheel has the name of this one."""
        path = self.folder / wheel.name
        if path.exists() and path.read_bytes() != wheel.read_bytes():
            raise ReleaseError(
                f"{path} is another wheel of the same version: it is none of ours, or was made"
                " before its release was; remove it"
            )


def checksums(wheels: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its name."""
    return {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}


def check(wheel: Path, released: Released, what: str) -> None:
    """Raises :class:`ReleaseError` where the wheel is not one of those that were released."""
    found = checksums([wheel])[wheel.name] if wheel.is_file() else "none: it is not there"
    known = released.wheels.get(wheel.name, "none: there is no such wheel")
    if found != known:
        raise ReleaseError(
            f"{what} is not of {released.project} {released.version} as it was released: its"
            f" SHA-256 is {found}, in the matrix {known}; put the released one there"
        )


def wheels_at(git: Git, state: str, project: Project, out: Path) -> list[Path]:
    """The wheels of a project as it was in a commit, tag or tree of git.

    One, or where it has machine code one for each processor.

    Raises:
        ReleaseError: there is no such state, or its files make no wheel.
    """
    prefix = f"{project.folder}/"
    inside = [project.package, "README.md", "pyproject.toml"]
    found = git.files(state, *(prefix + name for name in inside))
    files = {name.removeprefix(prefix): content for name, content in found.items()}
    files |= git.files(state, LICENCE)
    variants = machine_code(git, state, project.folder, files.get("pyproject.toml", b""))
    try:
        return [build_wheel(files | compiled, out) for compiled in variants]
    except WheelError as error:
        raise ReleaseError(str(error)) from error


def usual_store(workspace: Path) -> Path:
    """`$FRAUD_HOME/releases`, or `.fraud/releases` in the workspace."""
    return Path(os.environ.get("FRAUD_HOME", workspace / ".fraud")) / "releases"
