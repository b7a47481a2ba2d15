"""Reads requirements_lock.txt, and says in what two of them differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import Version

CHOSEN = "-r requirements.in"
"""What a package is `via` that requirements.in names."""

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>\S+) \\\n"
    r"(?P<hashes>(?: +--hash=\S+(?: \\)?\n)+)"
    r"(?P<via>(?: +#.*\n)*)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of the lock."""

    name: str
    """As PEP 503 writes it: lower case, words joined by ``-``."""
    version: str
    hashes: tuple[str, ...]
    """``sha256:`` and the digest, of each file that may be installed."""
    via: tuple[str, ...]
    """Who wants it: names of packages, or :data:`CHOSEN`."""


def read_lock(text: str) -> dict[str, Pin]:
    """The packages of a lock that pip-compile wrote, by name, in its order."""
    pins: dict[str, Pin] = {}
    for match in _PIN.finditer(text):
        name = canonicalize_name(match["name"])
        wanted = re.sub(r"^ +#(?: via)?", "", match["via"], flags=re.MULTILINE).split("\n")
        via = tuple(_wanter(line.strip()) for line in wanted if line.strip())
        hashes = tuple(re.findall(r"--hash=(\S+)", match["hashes"]))
        pins[name] = Pin(name, match["version"], hashes, via)
    return pins


def _wanter(line: str) -> str:
    return CHOSEN if line.startswith("-r ") else canonicalize_name(line)


def differences(before: Mapping[str, Pin], after: Mapping[str, Pin]) -> Iterator[str]:
    """A line for each package that came, went, changed, or was made anew under its old version.

    ``! `` starts the line of one whose first number changed, up or down: such a release may break
    what it wants to.
    """
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None and new is not None:
            yield f"  {name} {new.version} is new, {_for(new)}"
        elif new is None and old is not None:
            yield f"  {name} {old.version} is gone; it was {_for(old)}"
        elif old is not None and new is not None:
            yield from _changed(old, new)


def _changed(old: Pin, new: Pin) -> Iterator[str]:
    if old.version != new.version:
        before, after = Version(old.version), Version(new.version)
        mark = "!" if (before.epoch, before.major) != (after.epoch, after.major) else " "
        back = ", an older one" if after < before else ""
        yield f"{mark} {new.name} {old.version} -> {new.version}{back}, {_for(new)}"
    elif set(old.hashes) != set(new.hashes):
        fewer = len(set(old.hashes) - set(new.hashes))
        more = len(set(new.hashes) - set(old.hashes))
        yield f"  {new.name} {new.version}: files {more} new, {fewer} gone; the version is the same"
    if old.via != new.via and old.version == new.version:
        yield f"  {new.name} {new.version} is now {_for(new)}; it was {_for(old)}"


def _for(pin: Pin) -> str:
    wanters = ["us (requirements.in)" if who == CHOSEN else who for who in pin.via]
    return "for " + (", ".join(wanters) or "nobody that the lock names")
