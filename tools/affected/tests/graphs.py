"""Small graphs as Bazel tells them: lines of `query --output=streamed_jsonproto`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def rule(
    label: str,
    *inputs: str,
    kind: str = "py_library",
    outputs: Sequence[str] = (),
    visibility: Sequence[str] = ("//visibility:public",),
    tags: Sequence[str] = (),
    location: str = "BUILD.bazel:1:1",
    starlark: str = "",
    **attributes: str,
) -> dict[str, Any]:
    """A rule's line."""
    lists = [
        {"name": "visibility", "type": "STRING_LIST", "stringListValue": list(visibility)},
        {"name": "tags", "type": "STRING_LIST", "stringListValue": list(tags)},
        {"name": "generator_location", "type": "STRING", "stringValue": location},
    ]
    texts = [
        {"name": name, "type": "STRING", "stringValue": value} for name, value in attributes.items()
    ]
    return {
        "type": "RULE",
        "rule": {
            "name": f"@@{label}",
            "ruleClass": kind,
            "location": location,
            "attribute": [*lists, *texts],
            "ruleInput": [f"@@{name}" if name.startswith("//") else name for name in inputs],
            "ruleOutput": [f"@@{name}" for name in outputs],
            "skylarkEnvironmentHashCode": starlark,
        },
    }


def source(label: str, *groups: str) -> dict[str, Any]:
    """A source file's line."""
    file = {"name": f"@@{label}", "location": "x:1:1", "visibilityLabel": groups}
    return {"type": "SOURCE_FILE", "sourceFile": file}


def generated(label: str, by: str) -> dict[str, Any]:
    """A generated file's line."""
    file = {"name": f"@@{label}", "generatingRule": f"@@{by}"}
    return {"type": "GENERATED_FILE", "generatedFile": file}


def group(label: str, *packages: str, includes: Sequence[str] = ()) -> dict[str, Any]:
    """A package group's line."""
    found = {"name": f"@@{label}", "containedPackage": packages}
    return {"type": "PACKAGE_GROUP", "packageGroup": found | {"includedPackageGroup": includes}}


def lines(*targets: dict[str, Any]) -> list[str]:
    """What Bazel prints for these targets."""
    return [json.dumps(target) for target in targets]
