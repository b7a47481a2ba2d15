"""The graph of our own targets, as `bazel query` tells it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# Where a target is written and which macro wrote it: what Bazel builds does not depend on it.
NOT_BUILT = {"generator_function", "generator_location", "generator_name"}


@dataclass(frozen=True)
class Rule:
    """A target that can be built: `inputs` are labels, `definition` is all else that Bazel reads.

    The definition is a hash of the rule's attributes and of the Starlark code that implements it.
    """

    label: str
    kind: str
    inputs: tuple[str, ...]
    definition: str
    groups: tuple[str, ...]  # what its visibility names
    tags: frozenset[str]

    @property
    def is_test(self) -> bool:
        """Whether `bazel test` runs it."""
        return self.kind.endswith("_test")

    @property
    def is_manual(self) -> bool:
        """Whether `//...` leaves it out."""
        return "manual" in self.tags


@dataclass
class Graph:
    """Targets by label. A generated file is known by the rule that makes it."""

    rules: dict[str, Rule] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    # Of a source file: the groups that may see it. Of a package group: what it holds.
    groups_of_file: dict[str, tuple[str, ...]] = field(default_factory=dict)
    package_groups: dict[str, tuple[str, ...]] = field(default_factory=dict)


def short(label: str) -> str:
    """A label of our own repository without its name: //ml:features."""
    for ours in ("@@//", "@//"):
        if label.startswith(ours):
            return label.removeprefix(ours[:-2])
    return label


def parse_graph(lines: Iterable[str]) -> Graph:
    """The graph of `query --output=streamed_jsonproto`, one target a line."""
    graph = Graph()
    for line in lines:
        target: dict[str, Any] = json.loads(line)
        if "rule" in target:
            rule = _rule(target["rule"])
            graph.rules[rule.label] = rule
        elif "generatedFile" in target:
            file = target["generatedFile"]
            graph.generated[short(file["name"])] = short(file["generatingRule"])
        elif "sourceFile" in target:
            file = target["sourceFile"]
            groups = tuple(sorted(map(short, file.get("visibilityLabel", ()))))
            graph.groups_of_file[short(file["name"])] = groups
        elif "packageGroup" in target:
            group = target["packageGroup"]
            holds = [*group.get("containedPackage", ()), *group.get("includedPackageGroup", ())]
            graph.package_groups[short(group["name"])] = tuple(sorted(map(short, holds)))
    return graph


def _rule(target: dict[str, Any]) -> Rule:
    built = [it for it in target.get("attribute", ()) if it["name"] not in NOT_BUILT]
    attributes = sorted(built, key=lambda it: str(it["name"]))
    lists = {it["name"]: it.get("stringListValue", ()) for it in attributes}
    rest = {key: value for key, value in target.items() if key not in ("attribute", "location")}
    definition = json.dumps([rest, attributes], sort_keys=True)
    return Rule(
        label=short(target["name"]),
        kind=target["ruleClass"],
        inputs=tuple(sorted(set(map(short, target.get("ruleInput", ()))))),
        definition=hashlib.sha256(definition.encode()).hexdigest(),
        groups=tuple(sorted(map(short, lists.get("visibility", ())))),
        tags=frozenset(lists.get("tags", ())),
    )
