"""`./bazelw run //tools/release:plan`: which version each project should have next, and why.

A version follows from two things that must agree: what the fragments in `changes` tell users, and
what has become of the interface since the last release (`api.json`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tools.release.api import (
    Difference,
    Interface,
    differences,
    from_json,
    read_interface,
)
from tools.release.errors import ReleaseError, listed
from tools.release.fragments import Fragment, changelog_problem, greatest, read_fragments
from tools.release.projects import Project, folders_with_changelog, read_projects
from tools.release.versions import UNRELEASED, Change, compatible, next_version, range_text

_SHOWN = 12  # differences of a project; the rest is counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A project with what is new in it, and the version that it should have next."""

    project: Project
    version: Version
    """The next one; the project's own where there is nothing to release."""
    fragments: tuple[Fragment, ...]
    differences: tuple[Difference, ...]
    """Of the interface, to the last release; none where there was no release."""
    interface: Interface
    ranges: dict[str, SpecifierSet]
    """Versions of our other projects with which the next one works."""

    @property
    def is_new(self) -> bool:
        """Whether there is anything to release."""
        return self.version != self.project.version

    @property
    def change(self) -> Change:
        """What it means for users."""
        return max(greatest(self.fragments), max_change(self.differences))


def max_change(found: Sequence[Difference]) -> Change:
    """What differences of an interface mean together."""
    return max((one.change for one in found), default=Change.NONE)


def plan_releases(root: Path, *, one_version: bool = False) -> list[Release]:
    """What to release of each project, each after those that it needs.

    Args:
        root: the folder of the repository.
        one_version: all projects get the same version, the greatest that one of them would get.

    Raises:
        ReleaseError: something is released that no fragment tells, or a file is wrong; all such
            are told.
    """
    projects = read_projects(root)
    problems = _changelog_problems(root, projects)
    releases: dict[str, Release] = {}
    for project in projects:
        try:
            release = _release(root, project, releases)
        except ReleaseError as error:
            problems.append(str(error))
        else:
            releases[project.name] = release
            problems += agreement_problems(release)
    if problems:
        raise ReleaseError(f"nothing can be released:{listed(problems)}")
    planned = list(releases.values())
    return _as_one(planned) if one_version else planned


def _changelog_problems(root: Path, projects: Sequence[Project]) -> list[str]:
    folders = [project.folder for project in projects] + [*folders_with_changelog(root, projects)]
    found = []
    for folder in folders:
        path = root / folder / "CHANGELOG.md"
        if not path.is_file():
            found.append(f"{path} is missing")
        elif problem := changelog_problem(path.read_text(encoding="utf-8")):
            found.append(f"{path}: {problem}")
    return found


def _release(root: Path, project: Project, before: dict[str, Release]) -> Release:
    """The next release of a project, given those of the projects that it may need."""
    fragments = read_fragments(root / project.folder)
    interface = read_interface(root, project)
    found = tuple(_differences(root, project, interface))
    needed = {name: before[name] for name in project.ranges if name in before}
    outgrown = [
        one for one in needed.values() if one.version not in project.ranges[one.project.name]
    ]
    if outgrown:
        fragments += (_about_ranges(outgrown),)
    release = Release(
        project=project,
        version=project.version,
        fragments=fragments,
        differences=found,
        interface=interface,
        ranges=project.ranges,
    )
    version = next_version(project.version, release.change)
    return with_version(release, version, {name: one.version for name, one in needed.items()})


def _differences(root: Path, project: Project, interface: Interface) -> list[Difference]:
    path = root / project.folder / "api.json"
    if project.version == UNRELEASED:
        return []
    if not path.is_file():
        raise ReleaseError(f"{path} is missing: take it from the tag of {project.version}")
    return differences(from_json(path.read_text(encoding="utf-8"), where=str(path)), interface)


def _about_ranges(needed: Sequence[Release]) -> Fragment:
    told = ", ".join(f"{one.project.name} {range_text(compatible(one.version))}" for one in needed)
    return Fragment("(what it needs)", "changed", f"Needs {told}.")


def with_version(release: Release, version: Version, needed: dict[str, Version]) -> Release:
    """``release`` at another version, that works with what it was tested together with.

    Args:
        release: of a project.
        version: its next one.
        needed: the next versions of our projects that it needs, by name.
    """
    if version == release.project.version:
        return release
    ranges = {name: compatible(needed[name]) for name in release.ranges}
    return replace(release, version=version, ranges=ranges)


def _as_one(releases: list[Release]) -> list[Release]:
    if not any(release.is_new for release in releases):
        return releases
    # Of a project that lags behind, the change counts from where the others are.
    latest = max(release.project.version for release in releases)
    greatest_change = max(release.change for release in releases)
    version = max(next_version(latest, greatest_change), *(release.version for release in releases))
    needed = {release.project.name: version for release in releases}
    return [with_version(release, version, needed) for release in releases]


def agreement_problems(release: Release) -> list[str]:
    """What has become of the interface and no fragment tells."""
    told = greatest(release.fragments)
    folder = release.project.folder
    return [
        f"{release.project.name}: {one.text}, and no fragment tells: add {folder}/changes/"
        f"<slug>.{'breaking' if one.change is Change.BREAK else 'added'}.md"
        for one in release.differences
        if one.change > told
    ]


def shown(releases: Sequence[Release]) -> str:
    """The plan, for people."""
    lines = []
    for release in releases:
        project = release.project
        if not release.is_new:
            lines.append(f"{project.name} {project.version}: nothing new")
            continue
        was = "never released" if project.version == UNRELEASED else f"was {project.version}"
        lines.append(f"{project.name} {release.version} ({was}): {release.change.name.lower()}")
        lines += [f"  {one.kind:9} {one.text.splitlines()[0]}" for one in release.fragments]
        lines += [f"  interface {one.text}" for one in release.differences[:_SHOWN]]
        if (more := len(release.differences) - _SHOWN) > 0:
            lines.append(f"  interface and {more} more differences")
        lines += [
            f"  works with {name} {range_text(range_)}" for name, range_ in release.ranges.items()
        ]
    return "".join(f"{line}\n" for line in lines)


def workspace() -> Path:
    """The repository that `bazel run` was called in, or the current folder."""
    return Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all that changed can be released, else 1 with the reasons on standard error."""
    parser = argparse.ArgumentParser(
        prog="./bazelw run //tools/release:plan --",
        description="Which version each project should have next, and why. Changes nothing.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--one-version", action="store_true", help="one version for all projects, the greatest"
    )
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(shown(plan_releases(workspace(), one_version=options.one_version)))
    except ReleaseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
