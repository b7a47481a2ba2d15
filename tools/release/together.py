"""Do the wheels work together? They are installed, and the examples in their READMEs run.

Each wheel carries its README, so an old wheel brings the examples that were true when it was made.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools.release.errors import ReleaseError
from tools.release.git import Git
from tools.release.matrix import Released, latest
from tools.release.plan import Release
from tools.release.projects import Project
from tools.release.store import WheelStore, checksums
from tools.wheel.installed import (
    ExampleError,
    InstallError,
    install,
    metadata,
    run_examples,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """Where wheels come from."""

    git: Git
    store: WheelStore
    projects: Mapping[str, Project]
    """By name."""
    new: Mapping[str, Sequence[Path]]
    """The wheels that are to be released, by the project's name."""

    def fill(self, folder: Path, releases: Sequence[Released]) -> Path:
        """A new folder with all new wheels and those of some releases."""
        folder.mkdir()
        for wheels in (*self.new.values(), *map(self.released, releases)):
            for wheel in wheels:  # for all processors: pip chooses
                shutil.copyfile(wheel, folder / wheel.name)
        return folder

    def released(self, release: Released) -> list[Path]:
        """The wheels of an earlier release."""
        return self.store.wheels(self.git, self.projects[release.project], release)


def tried_together(
    shelf: Shelf, releases: Sequence[Release], matrix: Sequence[Released], *, date: str, work: Path
) -> list[Released]:
    """The matrix with the new releases, after their wheels were tried.

    With each other, and with all older ones that accept them.

    Args:
        shelf: of wheels.
        releases: of all projects, the new ones and those that stay.
        matrix: all earlier releases.
        date: of the new ones, `YYYY-MM-DD`.
        work: an empty folder.

    Raises:
        ReleaseError: wheels that say they go together do not.
    """
    new = [release for release in releases if release.is_new]
    versions = {one.project.name: str(one.version) for one in releases}
    stay = [latest(matrix, one.project.name) for one in releases if not one.is_new]
    wheels = shelf.fill(work / "newest", [one for one in stay if one is not None])
    pinned = {one.project.name: str(one.version) for one in new}
    _try(
        work / "together",
        wheels,
        pinned,
        [one[0] for one in shelf.new.values()],
        "do not work together",
    )
    updated = [
        _tried_with_new(shelf, old, matrix, pinned, work / f"old{number}")
        for number, old in enumerate(matrix)
    ]
    return updated + [
        Released(
            project=one.project.name,
            version=str(one.version),
            date=date,
            wheels=checksums(shelf.new[one.project.name]),
            works_with={name: [versions[name]] for name in sorted(one.ranges)},
        )
        for one in new
    ]


def _tried_with_new(
    shelf: Shelf, old: Released, matrix: Sequence[Released], new: dict[str, str], work: Path
) -> Released:
    """An earlier release, after it was tried with the new versions that it accepts."""
    if not old.works_with.keys() & new.keys():
        return old
    wheel = shelf.released(old)[0]  # all say the same
    asked = asked_for(wheel)
    accepted = {
        name: new[name] for name in old.works_with if name in new and new[name] in asked[name]
    }
    if not accepted:
        return old
    work.mkdir()
    beside = [
        one for one in matrix if one.version in old.works_with.get(one.project, ()) or one is old
    ]
    pins = {old.project: old.version, **accepted}
    told = ", ".join(f"{name} {version}" for name, version in accepted.items())
    _try(
        work / "environment",
        shelf.fill(work / "wheels", beside),
        pins,
        [wheel],
        f"{old.project} {old.version} accepts {told}, and does not work with it: what broke it"
        " needs a fragment of the kind `breaking`",
    )
    works_with = {
        name: [*versions, *([accepted[name]] if name in accepted else [])]
        for name, versions in old.works_with.items()
    }
    return replace(old, works_with=works_with)


def asked_for(wheel: Path) -> dict[str, SpecifierSet]:
    """The versions that a wheel asks for, by name of what it needs without an extra."""
    needed = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist", [])]
    return {one.name: one.specifier for one in needed if one.marker is None}


def _try(
    folder: Path, wheels: Path, pins: Mapping[str, str], shown: Sequence[Path], problem: str
) -> None:
    """Installs versions by name, and runs the examples of the wheels that are ``shown``."""
    told = " ".join(f"{name} {version}" for name, version in pins.items())
    sys.stderr.write(f"trying {told}\n")
    try:
        environment = install(folder, wheels, [f"{name}=={one}" for name, one in pins.items()])
        for wheel in shown:
            where = folder / f"examples of {wheel.name}"
            where.mkdir()
            run_examples(environment, wheel, where)
    except (ExampleError, InstallError) as error:
        raise ReleaseError(f"{told}: {problem}\n{error}") from error
