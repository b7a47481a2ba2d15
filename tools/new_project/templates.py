"""The files of a new project, from the template of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.new_project.lists import Project

KINDS = ("lab", "library", "service", "workflow")
LABELS = re.compile(r'(?:^ +"[:/@][^"]*",\n){2,}', re.MULTILINE)


def project_files(templates: Path, project: Project) -> Iterator[tuple[Path, str]]:
    """Path below the project's folder, and content, of each file but api.txt."""
    root = templates / project.kind
    for template in sorted(root.rglob("*.in")):
        path = str(template.relative_to(root)).removesuffix(".in")
        text = filled(template.read_text(encoding="utf-8"), project)
        if path.endswith("BUILD.bazel"):
            text = LABELS.sub(lambda match: in_order(match[0]), text)
        yield Path(path.replace("PACKAGE", project.package)), text


def filled(text: str, project: Project) -> str:
    """A template with the project's names in it."""
    return text.replace("{{project}}", project.folder).replace("{{package}}", project.package)


def in_order(lines: str) -> str:
    """Labels in the order that buildifier keeps: of the package, of ours, of others."""
    rank = {":": 0, "/": 1, "@": 2}
    return "".join(
        sorted(
            lines.splitlines(keepends=True),
            key=lambda line: (rank[line.split('"')[1][0]], line.replace(":", "!")),
        )
    )
