"""CODEOWNERS: who owns a path, and what is wrong with the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

OWNER = re.compile(r"@[\w-]+(/[\w.-]+)?|[^@\s]+@[^@\s]+\.\w+")


@dataclass(frozen=True)
class Line:
    """One line of the file: who owns what a pattern matches."""

    number: int
    pattern: str
    owners: tuple[str, ...]

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        body = self.pattern.strip("/")
        anchored = self.pattern.startswith("/") or "/" in body
        parts = re.split(r"(/\*\*/|\*\*/|/\*\*$|\*\*|\*|\?)", body)
        wild = {"/**/": "/(?:.*/)?", "**/": "(?:.*/)?", "/**": "/.*", "**": ".*"}
        wild |= {"*": "[^/]*", "?": "[^/]"}
        inside = "".join(wild.get(part, re.escape(part)) for part in parts)
        # "docs/*" owns the files of the folder, not those of its folders; all other patterns
        # own what lies below a folder that they match.
        below = "" if body.endswith("/*") else ("/.*" if self.pattern.endswith("/") else "(?:/.*)?")
        return re.compile(("" if anchored else "(?:.*/)?") + inside + below)

    def matches(self, path: str) -> bool:
        """Whether the line speaks of a file, as git's ignore patterns would."""
        return self._expression.fullmatch(path) is not None


def parse_owners(text: str) -> list[Line]:
    """The lines of a CODEOWNERS file, without comments."""
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if words:
            lines.append(Line(number, words[0], tuple(words[1:])))
    return lines


def owners_of(path: str, lines: Iterable[Line]) -> tuple[str, ...]:
    """Who owns a file: the owners of the last line that matches."""
    owners: tuple[str, ...] = ()
    for line in lines:
        if line.matches(path):
            owners = line.owners
    return owners


def problems(text: str, folders: Iterable[str], files: Iterable[str]) -> Iterator[str]:
    """What is wrong with the owners of a tree, a line of text each.

    Every folder of the root has a line of its own, and no line takes owners away; so every file
    below has an owner, whatever its name.

    Args:
        text: the CODEOWNERS file.
        folders: the folders of the root.
        files: the files of the root.
    """
    lines = parse_owners(text)
    for line in lines:
        if not line.owners:
            yield f"CODEOWNERS:{line.number}: {line.pattern} has no owner"
        for owner in line.owners:
            if not OWNER.fullmatch(owner):
                where = f"CODEOWNERS:{line.number}"
                yield f"{where}: {owner} is neither @user, @org/team nor an address"
        if line.pattern[0] == "!" or "[" in line.pattern or "\\" in line.pattern:
            yield f"CODEOWNERS:{line.number}: {line.pattern}: such a pattern does not work here"
    patterns = [line.pattern for line in lines]
    for pattern in sorted({pattern for pattern in patterns if patterns.count(pattern) > 1}):
        yield f"CODEOWNERS: {pattern} is there twice"
    folders = set(folders)
    for folder in sorted(folders):
        if f"/{folder}/" not in patterns:
            yield f"CODEOWNERS has no line for /{folder}/: say who reviews it"
    for pattern in patterns:
        if (named := re.fullmatch("/([^/*]+)/", pattern)) and named[1] not in folders:
            yield f"CODEOWNERS: there is no folder {pattern}"
    for file in sorted(files):
        if not owners_of(file, lines):
            yield f"CODEOWNERS: nobody owns {file}"
    if not lines or lines[-1].pattern != "/CODEOWNERS":
        yield "CODEOWNERS: its last line must say who owns /CODEOWNERS, so that none takes it away"
