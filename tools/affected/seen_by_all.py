"""What every target can see, and no graph of targets shows.

Flags choose compilers and aspects, modules choose rules and toolchains, `bazelw` chooses Bazel.
So each of the files below, and all that they name, counts as an input of every target.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from tools.affected.fingerprints import Fingerprints, digest
from tools.affected.graph import Graph

FILES = frozenset({
    ".bazelignore",
    ".bazelrc",
    ".bazelversion",
    "MODULE.bazel",
    "MODULE.bazel.lock",
    "REPO.bazel",
    "WORKSPACE",
    "WORKSPACE.bazel",
    "WORKSPACE.bzlmod",
    "bazelw",
})  # fmt: skip
# What bazelw imports: which Bazel runs, and which Java comes with it.
FOLDER = "tools/bootstrap/"
# Counts package by package: see lock.py.
LOCK = "requirements_lock.txt"

LABEL = re.compile(
    r"""(?:(?<=["'=])|^)"""  # a quoted string, or the value of a flag
    r"(?:@@?(?:fraud_detect)?)?"
    r"(?P<label>//[\w./~-]*(?::[\w./~+-]+)?|:[\w./~+-]+)",
    re.MULTILINE,
)
# .bazelrc: import %workspace%/tools/cache/ci.bazelrc
IMPORTED = re.compile(r"^(?:try-)?import +%workspace%/(?P<path>\S+)", re.MULTILINE)


# Gives the text of a file of the tree, by its path.
Reader = Callable[[str], str]


def named_labels(text: str, package: str) -> Iterator[tuple[str, str]]:
    """Package and name of each label in a Starlark or a .bazelrc file of `package`."""
    for match in LABEL.finditer(text):
        label = match["label"]
        if label.startswith(":"):
            yield package, label[1:]
            continue
        named, _, name = label.removeprefix("//").partition(":")
        yield named, name or PurePosixPath(named).name


class SeenByAll:
    """The closure of `FILES` over what they name: files, further Starlark code, targets."""

    def __init__(
        self, graph: Graph, files: Mapping[str, str], read: Reader, prints: Fingerprints
    ) -> None:
        self._graph = graph
        self._files = files
        self._read = read
        self._prints = prints

    def fingerprint(self) -> str:
        """One hash of all of it."""
        paths, labels = self.closure()
        of_files = [f"{path} {self._files[path]}" for path in sorted(paths)]
        of_targets = [f"{label} {self._prints.of(label)}" for label in sorted(labels)]
        return digest(*of_files, "targets", *of_targets)

    def closure(self) -> tuple[set[str], set[str]]:
        """The paths of the files, and the labels of the targets."""
        paths: set[str] = set()
        labels: set[str] = set()
        queue = [path for path in self._files if path in FILES or self._is_bazelw(path)]
        while queue:
            path = queue.pop()
            if path in paths or path == LOCK:
                continue
            paths.add(path)
            if path.endswith((".bzl", ".bazelrc")) or path in FILES - {"bazelw"}:
                text = self._read(path)
                named = [match["path"] for match in IMPORTED.finditer(text)]
                for package, name in named_labels(text, self._package_of(path)):
                    named.append(f"{package}/{name}".lstrip("/"))
                    labels |= self._targets(package, name)
                queue += [found for found in named if found in self._files]
        return paths, labels

    def _is_bazelw(self, path: str) -> bool:
        inside = path.removeprefix(FOLDER)
        return inside != path and path.endswith(".py") and not inside.startswith("tests/")

    def _package_of(self, path: str) -> str:
        """The package that a file belongs to: the nearest folder with a BUILD file."""
        for folder in PurePosixPath(path).parents:
            if any(str(folder / name) in self._files for name in ("BUILD.bazel", "BUILD")):
                return "" if str(folder) == "." else str(folder)
        return ""

    def _targets(self, package: str, name: str) -> set[str]:
        """The targets that a label or a pattern names: //a:b, //a:all, //a/..."""
        if name in ("all", "*", "all-targets"):
            return {label for label in self._graph.rules if label.startswith(f"//{package}:")}
        if package.endswith("..."):
            prefix = "//" + package.removesuffix("...")
            return {label for label in self._graph.rules if label.startswith(prefix)}
        label = f"//{package}:{name}"
        known = label in self._graph.rules or label in self._graph.generated
        return {label} if known else set()
