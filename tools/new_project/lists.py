"""The files of the root in which projects are listed, and how one more gets there."""

from __future__ import annotations

import re
from dataclasses import dataclass


class NewProjectError(Exception):
    """There will be no such project; the message says why, and what to do."""


@dataclass(frozen=True)
class Project:
    """A project that does not exist yet."""

    folder: str
    kind: str
    package: str
    owner: str
    summary: str


def in_projects(text: str, project: Project) -> str:
    """tools/projects.bzl with the project."""
    match = _find(r"(?<=^PROJECTS = \{\n)(?:    \".*\n)+(?=\})", text, "tools/projects.bzl")
    line = f'    "{project.folder}": ("{project.kind}", "{project.package}"),'
    return _replaced(text, match, sorted([*match[0].splitlines(), line]))


def in_owners(text: str, project: Project) -> str:
    """CODEOWNERS with a line for the project's folder, in order."""
    match = _find(r"^(?:/[^/\s]+/ +\S.*\n)+", text, "CODEOWNERS")
    line = f"{f'/{project.folder}/':<13} {project.owner}"
    return _replaced(text, match, sorted([*match[0].splitlines(), line]))


def in_readme(text: str, project: Project) -> str:
    """README.md with a row in the table of projects, before the one of the tools."""
    match = _find(r"^\| \[`tools`\].*\n", text, "README.md")
    row = (
        f"| [`{project.folder}`]({project.folder}/README.md) | {project.folder} "
        f"| `{project.package}` | {project.summary} |"
    )
    return _replaced(text, match, [row, *match[0].splitlines()])


def in_changelog(text: str, project: Project) -> str:
    """CHANGELOG.md with a link to the project's own."""
    match = _find(r"^.*/CHANGELOG\.md\)\.\n", text, "CHANGELOG.md")
    link = f"[{project.folder}]({project.folder}/CHANGELOG.md)."
    return _replaced(text, match, [match[0].rstrip(".\n") + ",", link])


def in_ruff(text: str, project: Project) -> str:
    """ruff.toml with the project's package among ours."""
    match = _find(r"^known-first-party = \[([^]]*)\]\n", text, "ruff.toml")
    names = re.findall(r'"(.*?)"', match[1])
    ours = ", ".join(f'"{name}"' for name in [*names[:-1], project.package, names[-1]])
    return _replaced(text, match, [f"known-first-party = [{ours}]"])


LISTS = {
    "CHANGELOG.md": in_changelog,
    "CODEOWNERS": in_owners,
    "README.md": in_readme,
    "ruff.toml": in_ruff,
    "tools/projects.bzl": in_projects,
}


def _find(pattern: str, text: str, path: str) -> re.Match[str]:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise NewProjectError(
            f"{path} is not as it is known here, so that a project cannot be added to it: "
            "bring tools/new_project/lists.py up to date"
        )
    return match


def _replaced(text: str, match: re.Match[str], lines: list[str]) -> str:
    return text[: match.start()] + "".join(f"{line}\n" for line in lines) + text[match.end() :]
