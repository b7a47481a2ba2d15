"""Semantic versions: what comes next, and what works with what.

Below 1.0 each part moves one place to the right, as Cargo, npm and Poetry read caret ranges: what
breaks raises the second number, and all else the third. So a range ends where something breaks,
before 1.0 as after it.
"""

from __future__ import annotations

from enum import IntEnum

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from tools.release.errors import ReleaseError

UNRELEASED = Version("0.0.0")
"""Of a project that was never released."""
FIRST = Version("0.1.0")


class Change(IntEnum):
    """What a change means for who uses a project; a greater one includes the smaller."""

    NONE = 0
    FIX = 1
    """It works as before, or better."""
    ADDITION = 2
    """There is something new."""
    BREAK = 3
    """What worked may work no longer."""


def parse_version(text: str, *, where: str) -> Version:
    """The version of three numbers.

    Raises:
        ReleaseError: it is none; the message names ``where``.
    """
    try:
        version = Version(text)
    except InvalidVersion:
        version = None
    if version is None or str(version) != text or len(version.release) != 3 or is_more(version):
        raise ReleaseError(f"{where}: {text!r} is no version of three numbers, such as 1.2.3")
    return version


def is_more(version: Version) -> bool:
    """Whether it is more than numbers: a pre-release, or of this machine only."""
    return version.is_prerelease or version.is_postrelease or version.local is not None


def next_version(version: Version, change: Change) -> Version:
    """The version after ``version`` for a change; the same one for none."""
    if change is Change.NONE:
        return version
    if version == UNRELEASED:
        return FIRST
    if change is Change.BREAK:
        return next_break(version)
    if change is Change.ADDITION and version.major:
        return Version(f"{version.major}.{version.minor + 1}.0")
    return Version(f"{version.major}.{version.minor}.{version.micro + 1}")


def next_break(version: Version) -> Version:
    """The first version after it that may break what works with it."""
    if version.major:
        return Version(f"{version.major + 1}.0.0")
    return Version(f"0.{version.minor + 1}.0")


def compatible(version: Version) -> SpecifierSet:
    """All versions with which works what was tested with ``version``."""
    return SpecifierSet(f">={version},<{next_break(version)}")


def range_text(range_: SpecifierSet) -> str:
    """As people write it: `>=1.2.0,<2.0.0`."""
    return ",".join(sorted(map(str, range_), reverse=True))
