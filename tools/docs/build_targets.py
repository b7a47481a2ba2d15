"""Which targets a BUILD file declares, as far as its text says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator

# Macros that declare more than the target they are given the name of.
MORE = {
    "checks": (
        "build_format",
        "build_lint",
        "checked",
        "checked_types",
        "format",
        "lint",
        "types",
    ),
    "released": ("wheel",),
}


def targets(text: str) -> set[str]:
    """The names of a BUILD file's targets, and of the files that it lets others name.

    Names that a list comprehension goes through count, whichever of its strings they are.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            for keyword in node.keywords:
                if keyword.arg == "name":
                    found |= set(_strings(keyword.value))
                    found |= set(MORE.get(called, ()))
            if called == "exports_files":
                found |= {name for argument in node.args for name in _strings(argument)}
        elif isinstance(node, ast.ListComp):
            found |= {name for part in node.generators for name in _strings(part.iter)}
    return found


def _strings(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
