"""The projects of the repository, as their `pyproject.toml` and their sources describe them."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tools.release.errors import ReleaseError
from tools.release.versions import parse_version


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """One project that is released."""

    folder: str
    """In the repository: `ml`."""
    name: str
    """Under which it is installed: `fraud-ml`."""
    package: str
    """Under which it is imported: `fraud_ml`."""
    version: Version
    """Of its last release."""
    ranges: dict[str, SpecifierSet]
    """Versions of our other projects with which it works, by name."""

    @property
    def version_file(self) -> str:
        """Where its version is written."""
        return f"{self.folder}/{self.package}/__init__.py"

    def tag(self, version: Version) -> str:
        """The tag of a release."""
        return f"{self.name}-v{version}"


def read_projects(root: Path) -> list[Project]:
    """The projects in the folders of ``root``, each after those that it needs.

    Raises:
        ReleaseError: a file is not as it should be.
    """
    tables = {path.parent.name: _table(path) for path in sorted(root.glob("*/pyproject.toml"))}
    if not tables:
        raise ReleaseError(f"{root} has no project: no folder in it has a pyproject.toml")
    names = {table["project"]["name"] for table in tables.values()}
    found = {
        table["project"]["name"]: _project(root, folder, table, names)
        for folder, table in tables.items()
    }
    order = TopologicalSorter({name: sorted(found[name].ranges) for name in sorted(found)})
    return [found[name] for name in order.static_order()]


def _table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ReleaseError(f"{path}: {error}") from error
    for keys in (("project", "name"), ("tool", "flit")):
        inner = table
        for key in keys:
            if key not in inner:
                raise ReleaseError(f"{path}: [{'.'.join(keys)}] is missing")
            inner = inner[key]
    return table


def _project(root: Path, folder: str, table: dict[str, Any], names: set[str]) -> Project:
    package = table["tool"]["flit"]["module"]["name"]
    file = f"{folder}/{package}/__init__.py"
    needed = [Requirement(text) for text in table["project"].get("dependencies", ())]
    return Project(
        folder=folder,
        name=table["project"]["name"],
        package=package,
        version=parse_version(written_version((root / file).read_text("utf-8"), file), where=file),
        ranges={one.name: one.specifier for one in needed if one.name in names},
    )


def written_version(source: str, file: str) -> str:
    """What ``source``, the text of ``file``, assigns to `__version__`.

    Raises:
        ReleaseError: nothing, or no text.
    """
    for statement in ast.parse(source, file).body:
        match statement:
            case ast.Assign(targets=[ast.Name("__version__")], value=ast.Constant(str(version))):
                return version
    raise ReleaseError(f'{file}: there is no line like __version__ = "1.2.3"')


def folders_with_changelog(root: Path, projects: Iterable[Project]) -> Iterator[str]:
    """Folders whose changes are told by the day, as they have no versions: `.`, `research`."""
    released = {project.folder for project in projects}
    for path in sorted(root.glob("CHANGELOG.md")) + sorted(root.glob("*/CHANGELOG.md")):
        folder = path.parent.relative_to(root).as_posix()
        if folder not in released and not path.parent.is_symlink():  # Bazel leaves some at the root
            yield folder
