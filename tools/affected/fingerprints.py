"""A fingerprint of every target: it differs where anything that the target is built from does.

The design is that of bazel-diff and target-determinator: two trees are compared target by target,
by a hash over a rule's definition and, transitively, all of its inputs. What the graph does not
show (flags, toolchains, aspects, module extensions) is in `seen_by_all`.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cached_property

from tools.affected.errors import AffectedError
from tools.affected.graph import Graph
from tools.affected.lock import Lock

# @@rules_python~~pip~pip//numpy:numpy is the hub, @@rules_python~~pip~pip_numpy//:pkg the package.
HUB = re.compile(r"@@[^/]*~pip//(?P<name>[^:]+)")
LINK = "120000 "  # the mode that git gives to a symbolic link
SPOKE = re.compile(r"@@[^/]*~pip_(?P<name>[^/]+)//")


def digest(*parts: str) -> str:
    """One hash of several texts, wherever one ends and the next begins."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def path_of(label: str) -> str:
    """The path of one of our source files: //ml:fraud_ml/model.py is ml/fraud_ml/model.py."""
    package, _, name = label.removeprefix("//").partition(":")
    return f"{package}/{name}" if package else name


class Fingerprints:
    """The fingerprints of one tree: of its graph, its files and its lock."""

    def __init__(self, graph: Graph, files: Mapping[str, str], lock: Lock) -> None:
        self._graph = graph
        self._files = files
        self._paths = sorted(files)
        self._lock = lock
        self._known: dict[str, str] = {}
        self._on_the_way: set[str] = set()

    def of_rules(self) -> dict[str, str]:
        """The fingerprint of every target that can be built."""
        return {label: self.of(label) for label in self._graph.rules}

    def of(self, label: str) -> str:
        """The fingerprint of what a label names."""
        label = self._graph.generated.get(label, label)
        if label not in self._known:
            if label in self._on_the_way:
                raise AffectedError(f"{label} depends on itself, which Bazel does not build either")
            self._on_the_way.add(label)
            self._known[label] = self._find(label)
            self._on_the_way.remove(label)
        return self._known[label]

    def _find(self, label: str) -> str:
        if rule := self._graph.rules.get(label):
            inputs = self._each(rule.inputs)
            return digest("rule", rule.definition, *inputs, *self._each_group(rule.groups))
        if label in self._graph.package_groups:
            return digest("group", *self._each_group(self._graph.package_groups[label]))
        if label.startswith("@"):
            return digest("elsewhere", label, self._of_package(label))
        seen_by = self._graph.groups_of_file.get(label, ())
        return digest("file", self._of_path(path_of(label)), *self._each_group(seen_by))

    def _each(self, labels: Iterable[str]) -> list[str]:
        return [text for label in labels for text in (label, self.of(label))]

    def _each_group(self, entries: Iterable[str]) -> list[str]:
        """Who may look in; //visibility:public, //ml/tests:__pkg__ and the like name themselves."""
        groups = self._graph.package_groups
        return [self.of(entry) if entry in groups else entry for entry in entries]

    def _of_package(self, label: str) -> str:
        """What the lock says of a label of @pip; other repositories are for `seen_by_all`."""
        match = HUB.match(label) or SPOKE.match(label)
        return self._lock.fingerprint(match["name"]) if match else ""

    def _of_path(self, path: str) -> str:
        """A file's identity, or those of all files below a folder.

        Where a link leads is not followed: any change of the tree counts. So it does for a path
        that is not there, as one through a link.
        """
        if path in self._files:
            identity = self._files[path]
            return self._whole_tree if identity.startswith(LINK) else identity
        below = path.rstrip("/") + "/"
        first = bisect_left(self._paths, below)
        found = []
        for name in self._paths[first:]:
            if not name.startswith(below):
                break
            found.append(f"{self._files[name]} {name}")
        return digest("folder", *found) if found else self._whole_tree

    @cached_property
    def _whole_tree(self) -> str:
        return digest(*(f"{self._files[name]} {name}" for name in self._paths))
