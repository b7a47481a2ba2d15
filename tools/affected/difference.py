"""Which targets differ between two trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tools.affected.fingerprints import Fingerprints
from tools.affected.graph import Graph, Rule
from tools.affected.lock import parse_lock
from tools.affected.seen_by_all import LOCK, Reader, SeenByAll


@dataclass(frozen=True)
class Tree:
    """A tree's graph and files, and how to read one of them."""

    graph: Graph
    files: Mapping[str, str]
    read: Reader

    @cached_property
    def fingerprints(self) -> tuple[str, dict[str, str]]:
        """The fingerprint of what all targets see, and that of each target."""
        lock = parse_lock(self.read(LOCK) if LOCK in self.files else "")
        prints = Fingerprints(self.graph, self.files, lock)
        seen_by_all = SeenByAll(self.graph, self.files, self.read, prints).fingerprint()
        return seen_by_all, prints.of_rules()


@dataclass(frozen=True)
class Difference:
    """What the way from one tree to another can change.

    `targets` are rules of the new tree; `removed` are labels that only the old one has. Where
    `everything` says why, the targets are all.
    """

    files: list[str]
    targets: list[Rule]
    removed: list[str] = field(default_factory=list)
    everything: str | None = None

    @property
    def projects(self) -> list[str]:
        """The top folders of the targets; "." is what the root itself builds."""
        labels = [rule.label for rule in self.targets] + self.removed
        return sorted({project_of(label) for label in labels})


def project_of(label: str) -> str:
    """The top folder of a target: //ml/tests:test_model is of ml."""
    return label.removeprefix("//").split(":")[0].split("/")[0] or "."


def difference(old: Tree | None, new: Tree, old_files: Mapping[str, str]) -> Difference:
    """Compares two trees; `old` is None where its graph cannot be known.

    Args:
        old: the tree of BASE.
        new: the working tree.
        old_files: the files of BASE, which are known in any case.
    """
    changed = sorted({path for path, _ in old_files.items() ^ new.files.items()})
    in_order = [new.graph.rules[label] for label in sorted(new.graph.rules)]
    if old is None:
        return Difference(changed, in_order, everything="the targets of BASE cannot be loaded")
    if not changed:
        return Difference([], [])
    seen_before, before = old.fingerprints
    seen_now, now = new.fingerprints
    removed = sorted(before.keys() - now.keys())
    if seen_before != seen_now:
        why = "what all targets see has changed: flags, modules, toolchains, aspects or Bazel"
        return Difference(changed, in_order, removed, everything=why)
    differing = [rule for rule in in_order if before.get(rule.label) != now[rule.label]]
    return Difference(changed, differing, removed)
