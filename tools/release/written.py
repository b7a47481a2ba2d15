"""The texts of a release: what each file of the repository that it changes holds afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet

from tools.release.api import to_json
from tools.release.errors import ReleaseError
from tools.release.fragments import Fragment, read_fragments, release_notes, with_release
from tools.release.plan import Release
from tools.release.projects import folders_with_changelog
from tools.release.versions import range_text

Texts = dict[str, str | None]
"""By name in the repository; None where the file is removed."""


def release_texts(root: Path, releases: Sequence[Release], date: str) -> Texts:
    """What the releases that are new change, but for the matrix.

    Raises:
        ReleaseError: a file has not the form that it should have.
    """
    texts: Texts = {}
    for release in releases:
        if release.is_new:
            texts |= _project_texts(root, release, date)
    for folder in folders_with_changelog(root, [one.project for one in releases]):
        fragments = read_fragments(root / folder)
        if fragments:
            texts |= _changelog_texts(root, folder, date, fragments)
    return texts


def _project_texts(root: Path, release: Release, date: str) -> Texts:
    project, version = release.project, release.version
    description = f"{project.folder}/pyproject.toml"
    title = f"{version} ({date})"
    return {
        **_changelog_texts(root, project.folder, title, release.fragments),
        project.version_file: _once(
            rf'^__version__ = "{re.escape(str(project.version))}"$',
            f'__version__ = "{version}"',
            _read(root, project.version_file),
            project.version_file,
        ),
        description: with_ranges(_read(root, description), release.ranges, description),
        f"{project.folder}/api.json": to_json(release.interface),
    }


def _changelog_texts(root: Path, folder: str, title: str, fragments: Sequence[Fragment]) -> Texts:
    inside = "" if folder == "." else f"{folder}/"
    changelog = f"{inside}CHANGELOG.md"
    notes = release_notes(title, fragments)
    texts: Texts = {changelog: with_release(_read(root, changelog), notes, where=changelog)}
    for one in fragments:
        name = f"{inside}changes/{one.name}"
        if (root / name).is_file():  # what a project needs is told without a file
            texts[name] = None
    return texts


def with_ranges(text: str, ranges: dict[str, SpecifierSet], where: str) -> str:
    """A `pyproject.toml` that asks for these versions of our other projects.

    Raises:
        ReleaseError: it does not ask for one of them, or twice.
    """
    for name, range_ in ranges.items():
        # Those in extras have no versions: they add to the one that has.
        text = _once(
            rf'"({re.escape(name)}(?:\[[^\]]*\])?)[<>=~!][^"]*"',
            rf'"\1{range_text(range_)}"',
            text,
            where,
        )
    return text


def _once(pattern: str, new: str, text: str, where: str) -> str:
    changed, times = re.subn(pattern, new, text, flags=re.MULTILINE)
    if times != 1:
        raise ReleaseError(f"{where}: should have {pattern} once, has it {times} times")
    return changed


def _read(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")
