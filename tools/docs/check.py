"""Whether all that the documents name is there: `problems` of the whole tree, without a network."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote, urlsplit

from tools.docs.build_targets import targets
from tools.docs.references import Reference, anchors, references

# What Bazel 7 can be told to do, and what bazelw adds.
VERBS = re.compile(
    "analyze-profile|aquery|build|clean|config|coverage|cquery|dump|fetch|help|info|mod|query|run"
    "|shutdown|sync|test|vendor|version"
)
OWN_FLAGS = {"--where"}

# Endings of files that are ours wherever they are named; a user's file has others.
OURS = (".bazel", ".bzl", ".md", ".py")

PATH = re.compile(r"[\w.@+-]+(/[\w.@+-]+)*/?")


@dataclass(frozen=True)
class Tree:
    """The workspace as the documents see it."""

    files: frozenset[str]
    """The paths of all files."""
    documents: Mapping[str, str]
    """The text of each Markdown file, by path."""
    build_files: Mapping[str, str]
    """The text of each BUILD.bazel, by path."""
    bazelrc: str

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder with a file somewhere below; the root is the empty string."""
        found = {""}
        for path in self.files:
            while path := posixpath.dirname(path):
                found.add(path)
        return frozenset(found)

    @cached_property
    def targets(self) -> Mapping[str, set[str]]:
        """The targets of each package."""
        return {posixpath.dirname(path): targets(text) for path, text in self.build_files.items()}

    @cached_property
    def anchors(self) -> Mapping[str, set[str]]:
        """The fragments of each document."""
        return {path: anchors(text) for path, text in self.documents.items()}

    @cached_property
    def configs(self) -> set[str]:
        """The names that `--config` may be given."""
        return set(re.findall(r"^\w+:([\w-]+)\s", self.bazelrc, re.MULTILINE))

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return path in self.files or path in self.folders


def problems(tree: Tree) -> Iterator[str]:
    """One line for each thing that a document names and that is not there."""
    checks: dict[str, Callable[[str, str], str | None]] = {
        "link": lambda document, text: _link(tree, document, text),
        "label": lambda _, text: _label(tree, text),
        "command": lambda _, text: _command(text),
        "config": lambda _, text: _config(tree, text),
        "code": lambda document, text: _code(tree, document, text),
    }
    for document, text in sorted(tree.documents.items()):
        for reference in sorted(set(references(text)), key=_place):
            if problem := checks[reference.kind](document, reference.text):
                yield f"{document}:{reference.line}: {problem}"


def _place(reference: Reference) -> tuple[int, str, str]:
    return reference.line, reference.kind, reference.text


def _link(tree: Tree, document: str, target: str) -> str | None:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        if parts.scheme == "mailto" and "@" in parts.path:
            return None
        sound = parts.scheme in ("http", "https") and parts.hostname and " " not in target
        return None if sound else f"{target} is no address"
    path = document
    if parts.path:
        folder = "" if parts.path.startswith("/") else posixpath.dirname(document)
        joined = posixpath.join(folder, unquote(parts.path).lstrip("/"))
        path = posixpath.normpath(joined)
        path = "" if path == "." else path
        if not tree.has(path):
            return f"links to {target}, and there is no {path}"
    if parts.fragment and parts.fragment not in tree.anchors.get(path, set()):
        return f"links to {target}, and {path} has no such heading"
    return None


def _label(tree: Tree, label: str) -> str | None:
    package, _, name = label.removeprefix("//").partition(":")
    if package == "..." or package.endswith("/..."):
        folder = package.removesuffix("...").rstrip("/")
        inside = folder + "/" if folder else ""
        found = any(known == folder or known.startswith(inside) for known in tree.targets)
        return None if found else f"{label} has no package"
    if package not in tree.targets:
        return f"{label}: {package or '/'} has no BUILD.bazel"
    if not name or name in ("all", "*") or name in tree.targets[package]:
        return None
    if posixpath.join(package, name) in tree.files:
        return None
    return f"{label}: {package or '/'}/BUILD.bazel declares no {name}"


def _command(words: str) -> str | None:
    word = words.split()[0] if words else ""
    if not word or VERBS.fullmatch(word) or word in OWN_FLAGS or "…" in word or word == "...":
        return None
    return f"./bazelw {word}: no command of Bazel"


def _config(tree: Tree, name: str) -> str | None:
    return None if name in tree.configs else f"--config={name}: .bazelrc defines none"


def _code(tree: Tree, document: str, code: str) -> str | None:
    """A path in code: one that starts in the tree goes on in it, and our kinds of file are ours."""
    if not PATH.fullmatch(code):
        return None
    path = code.rstrip("/").removeprefix("./")
    folder = posixpath.dirname(document)
    for start in {"", folder}:
        if tree.has(posixpath.join(start, path)):
            return None
    first, _, rest = path.partition("/")
    starts_here = any(posixpath.join(start, first) in tree.folders for start in ("", folder))
    if rest and starts_here:
        return f"`{code}` is not there"
    if path.endswith(OURS) and not any(known.endswith("/" + path) for known in tree.files):
        return f"`{code}` is not there"
    return None
