"""Which versions of our projects were tested together: `compatibility.json`, and a page of it.

The file is written by :cut, never by hand, and the page follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from packaging.version import Version

from tools.release.errors import ReleaseError
from tools.release.projects import Project
from tools.release.versions import UNRELEASED, range_text

DATA = "compatibility.json"
PAGE = "COMPATIBILITY.md"

_HEAD = """\
# Compatibility

Which releases work together. A release was tested with the others of its day by all tests of the
repository; with later ones by wheels: both are installed, and the examples in the README of the
older one are run. `./bazelw run //tools/release:cut` does so, and writes this page.
"""


@dataclass(frozen=True, kw_only=True)
class Released:
    """One release of one project."""

    project: str
    version: str
    date: str
    """`YYYY-MM-DD`."""
    wheels: dict[str, str]
    """The SHA-256 of each wheel by its name, to tell it from another one of the same version."""
    works_with: dict[str, list[str]] = field(default_factory=dict)
    """Versions of our other projects that it was tested with, oldest first, by name."""


def read_matrix(text: str) -> list[Released]:
    """The releases in order of their time.

    Raises:
        ReleaseError: the text is not what :func:`to_json` writes.
    """
    try:
        return [Released(**one) for one in json.loads(text)["releases"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{DATA} is not what :cut writes: {error}") from error


def to_json(releases: Iterable[Released]) -> str:
    """The text of `compatibility.json`."""
    return json.dumps({"releases": [asdict(one) for one in releases]}, indent=1) + "\n"


def to_page(releases: Sequence[Released]) -> str:
    """The text of `COMPATIBILITY.md`."""
    if not releases:
        return f"{_HEAD}\nNothing was released yet.\n"
    parts = [_HEAD]
    for name in dict.fromkeys(one.project for one in releases):
        own = [one for one in releases if one.project == name]
        needed = sorted({other for one in own for other in one.works_with})
        rows = [[name, "released", *(f"works with {other}" for other in needed)]]
        rows.append(["---"] * len(rows[0]))
        for one in reversed(own):
            cells = (", ".join(one.works_with.get(other, ())) for other in needed)
            rows.append([one.version, one.date, *cells])
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"## {name}\n\n{table}\n")
    return "\n".join(parts)


def latest(releases: Iterable[Released], name: str) -> Released | None:
    """The last release of a project."""
    own = [one for one in releases if one.project == name]
    return own[-1] if own else None


def matrix_problems(
    releases: Sequence[Released], projects: Iterable[Project], *, changed: Collection[str] = ()
) -> list[str]:
    """In what the matrix contradicts itself or the projects as they are.

    Args:
        releases: the matrix.
        projects: as their files describe them.
        changed: names of those that may ask for something else than when they were released.
    """
    problems = []
    known = {(one.project, one.version) for one in releases}
    if len(known) < len(releases):
        problems.append("a version of a project is there twice")
    for one in releases:
        for name, versions in one.works_with.items():
            problems += [
                f"{one.project} {one.version} works with {name} {version}, which is no release"
                for version in versions
                if (name, version) not in known
            ]
    for project in projects:
        newest = latest(releases, project.name)
        if newest is None:
            if project.version != UNRELEASED:
                problems.append(f"{project.name} {project.version} is not in it")
            continue
        if newest.version != str(project.version):
            last = f"its last release is {newest.version}"
            problems.append(f"{project.name} is {project.version}, and {last}")
        if project.name not in changed:
            problems += _range_problems(newest, project)
    return problems


def _range_problems(newest: Released, project: Project) -> list[str]:
    problems = []
    if newest.works_with.keys() != project.ranges.keys():
        problems.append(
            f"{project.name} needs other projects than its last release was tested with"
        )
    for name, range_ in project.ranges.items():
        problems += [
            f"{project.name} asks for {name} {range_text(range_)}, and was tested with {version}"
            for version in newest.works_with.get(name, ())
            if Version(version) not in range_
        ]
    return problems
