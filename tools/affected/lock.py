"""requirements_lock.txt as what it says: packages, who needs them, and what identifies each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])? *(==|@)")
# Not a package, and left out: "-r requirements.in".
NEEDED_BY = re.compile(r" +# (?:via|  ) ?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")


def canonical(name: str) -> str:
    """A package's name as PEP 503 spells it: numpy, scikit-learn."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass
class Lock:
    """The lock's packages.

    `pins` are the lines that choose what is installed: version, hashes. `needs` are the packages
    that each needs, from the comments that pip-compile writes from the packages' own metadata;
    //tools/requirements:test_lock holds the two equal. `options` are all other lines.
    """

    pins: dict[str, str] = field(default_factory=dict)
    needs: dict[str, set[str]] = field(default_factory=dict)
    options: str = ""

    def closure(self, name: str) -> set[str]:
        """A package and all that it needs, at whatever distance."""
        reached: set[str] = set()
        queue = [name]
        while queue:
            package = queue.pop()
            if package not in reached:
                reached.add(package)
                queue += self.needs.get(package, ())
        return reached

    def fingerprint(self, name: str) -> str:
        """What changes where a package that a target depends on changes, or one that it needs.

        Of a package that the lock does not know, the fingerprint of the whole lock.
        """
        package = canonical(name)
        names: Iterable[str] = self.closure(package) if package in self.pins else self.pins
        lines = [f"{name} {self.pins.get(name)}" for name in sorted(names)]
        return hashlib.sha256("\n".join([self.options, *lines]).encode()).hexdigest()


def parse_lock(text: str) -> Lock:
    """The lock of a file that pip-compile wrote."""
    lock = Lock()
    package = None
    options = []
    for line in text.splitlines():
        if match := PIN.match(line):
            package = canonical(match["name"])
            lock.pins[package] = line
        elif line.lstrip().startswith("#"):
            if package and (via := NEEDED_BY.fullmatch(line)):
                lock.needs.setdefault(canonical(via["name"]), set()).add(package)
        elif package and line.startswith(" "):
            lock.pins[package] += line
        elif line.strip():
            package = None
            options.append(line)
    lock.options = "\n".join(options)
    return lock
