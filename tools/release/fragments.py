"""Changelog fragments: `<project>/changes/<slug>.<kind>.md`, one a change, so that none conflict.

Not towncrier: it takes the slug for the number of an issue and prints it, and it writes to the
working tree and to git's index by itself, where `cut` must write nothing until all is well. What
the plan needs of fragments, their kinds, it does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.release.errors import ReleaseError, listed
from tools.release.versions import Change

KINDS = {
    "breaking": ("Breaking", Change.BREAK),
    "added": ("Added", Change.ADDITION),
    "changed": ("Changed", Change.FIX),
    "fixed": ("Fixed", Change.FIX),
}
"""By the kind in a file's name: its title in a changelog, and what it means for users."""

MARK = "<!-- Releases, the newest first: //tools/release:cut writes them from changes/. -->\n"
"""The line of a changelog after which releases are added."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\.([a-z]+)\.md")


@dataclass(frozen=True, slots=True)
class Fragment:
    """One change, as told to users."""

    name: str
    """Of its file; where there is none, what it is about."""
    kind: str
    text: str

    @property
    def change(self) -> Change:
        """What it means for users."""
        return KINDS[self.kind][1]


def read_fragments(project: Path) -> tuple[Fragment, ...]:
    """The fragments of the project in that folder, in order of their names.

    Raises:
        ReleaseError: a file in `changes` is none; all such are told.
    """
    folder = project / "changes"
    problems: list[str] = []
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name == "README.md":  # tells how to write them
            continue
        named = _NAME.fullmatch(path.name)
        text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
        if named is None or named[1] not in KINDS:
            kinds = ", ".join(KINDS)
            problems.append(f"{path}: is not called <slug>.<kind>.md, where the kind is {kinds}")
        elif not text:
            problems.append(f"{path}: is empty: say what changed, for who uses it")
        elif text.startswith(("#", "- ", "* ")):
            problems.append(f"{path}: is one entry, without a bullet or title of its own")
        else:
            found.append(Fragment(path.name, named[1], text))
    if problems:
        raise ReleaseError(f"changelog fragments are wrong:{listed(problems)}")
    return tuple(found)


def release_notes(title: str, fragments: Sequence[Fragment]) -> str:
    """The part of a changelog that tells of one release."""
    parts = [f"## {title}"]
    if not fragments:
        parts.append("Nothing changed; released with the other projects.")
    for kind, (heading, _) in KINDS.items():
        entries = [_bullet(one.text) for one in fragments if one.kind == kind]
        if entries:
            parts.append(f"### {heading}\n\n" + "\n".join(entries))
    return "\n\n".join(parts) + "\n"


def _bullet(text: str) -> str:
    first, *rest = text.splitlines()
    return "\n".join([f"- {first}", *(f"  {line}" if line.strip() else "" for line in rest)])


def with_release(changelog: str, notes: str, *, where: str) -> str:
    """``changelog`` with the notes of a release before those that it has.

    Raises:
        ReleaseError: it has no place for them, or tells of unreleased changes by itself.
    """
    if (problem := changelog_problem(changelog)) is not None:
        raise ReleaseError(f"{where}: {problem}")
    before, mark, after = changelog.partition(MARK)
    return f"{before}{mark}\n{notes}{after}"


def changelog_problem(changelog: str) -> str | None:
    """Why no release can be added to it; None if one can."""
    if changelog.count(MARK) != 1:
        return f"exactly one line must be: {MARK.strip()}"
    if re.search(r"^#+\s*unreleased", changelog, re.IGNORECASE | re.MULTILINE):
        return "it has a section of unreleased changes: make each a file in changes/"
    return None


def greatest(fragments: Iterable[Fragment]) -> Change:
    """What all of them together mean for users."""
    return max((one.change for one in fragments), default=Change.NONE)
