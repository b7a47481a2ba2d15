"""The lock is what requirements.in resolves to: complete, consistent, hashed, and nothing more."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.affected.lock import parse_lock

PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>\S+) \\\n(?P<hashes>(?: +--hash\S+.*\n)+)", re.M
)


@dataclass(frozen=True)
class Pin:
    version: Version
    hashes: list[str]


@pytest.fixture(scope="module")
def lock() -> str:
    return Path("requirements_lock.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pins(lock: str) -> dict[str, Pin]:
    return {
        canonicalize_name(match["name"]): Pin(
            Version(match["version"]), re.findall(r"--hash=(\S+)", match["hashes"])
        )
        for match in PIN.finditer(lock)
    }


@pytest.fixture(scope="module")
def chosen() -> list[Requirement]:
    lines = Path("requirements.in").read_text(encoding="utf-8").splitlines()
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines)
    return [Requirement(line) for line in stripped if line]


@pytest.fixture(scope="module")
def installed() -> dict[str, Distribution]:
    """The metadata of every locked package, as Bazel unpacked it."""
    found = (Distribution.at(folder) for folder in Path("..").glob("*/site-packages/*.dist-info"))
    return {canonicalize_name(distribution.name): distribution for distribution in found}


def needs(distribution: Distribution, extras: set[str]) -> Iterator[Requirement]:
    """What a package requires here, with the extras asked of it."""
    for line in distribution.requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield requirement


def broken(requirement: Requirement, pins: dict[str, Pin]) -> str | None:
    pin = pins.get(canonicalize_name(requirement.name))
    if pin is None:
        return f"{requirement} is not locked"
    if not requirement.specifier.contains(pin.version, prereleases=True):
        return f"{requirement} is locked to {pin.version}"
    return None


def test_every_line_of_the_lock_is_a_pin_a_hash_or_a_comment(
    lock: str, pins: dict[str, Pin]
) -> None:
    unexplained = PIN.sub("", re.sub(r"^ *#.*\n", "", lock, flags=re.M)).strip()
    assert unexplained == ""
    assert len(pins) > 50


def test_every_hash_is_sha256(pins: dict[str, Pin]) -> None:
    hashes = [digest for pin in pins.values() for digest in pin.hashes]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)


def test_what_we_chose_is_locked(chosen: list[Requirement], pins: dict[str, Pin]) -> None:
    assert [problem for requirement in chosen if (problem := broken(requirement, pins))] == []


def test_bazel_installed_what_is_locked(
    pins: dict[str, Pin], installed: dict[str, Distribution]
) -> None:
    assert {name: Version(it.version) for name, it in installed.items()} == {
        name: pin.version for name, pin in pins.items()
    }


@pytest.fixture(scope="module")
def needed(
    chosen: list[Requirement], installed: dict[str, Distribution]
) -> list[tuple[str, Requirement]]:
    """What is needed, and by whom ("" for us), to whatever distance."""
    reached: dict[str, set[str]] = {}
    queue = [("", requirement) for requirement in chosen]
    found = []
    while queue:
        by, requirement = queue.pop()
        found.append((by, requirement))
        name = canonicalize_name(requirement.name)
        seen = reached.get(name)
        if name in installed and (seen is None or not requirement.extras <= seen):
            reached[name] = (seen or set()) | requirement.extras
            queue += [(name, more) for more in needs(installed[name], reached[name])]
    return found


def test_what_packages_need_is_locked_and_nothing_else(
    pins: dict[str, Pin], needed: list[tuple[str, Requirement]]
) -> None:
    assert [problem for _, it in needed if (problem := broken(it, pins))] == []
    assert {canonicalize_name(it.name) for _, it in needed} == set(pins)


def test_the_comments_name_all_who_need_a_package(
    lock: str, needed: list[tuple[str, Requirement]]
) -> None:
    # //tools/ci:affected tells by them what a changed package can change.
    told = parse_lock(lock).needs
    untold = [
        f"{by} needs {it.name}"
        for by, it in needed
        if by and canonicalize_name(it.name) not in told.get(by, set())
    ]
    assert untold == []
