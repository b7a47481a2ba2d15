"""Builds the site of the repository: its Markdown, the reference of its packages, and pictures."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.commands.build import build
from mkdocs.config import load_config

_ROLE = re.compile(r":(?:class|data|func|meth|mod|attr|exc):`~?([^`]+)`")  # of reStructuredText


def build_site(sources: Sequence[Path], packages: Mapping[str, str], output: Path) -> None:
    """Writes the site into the folder ``output``; a link that leads nowhere is an error.

    Args:
        sources: the files that it is made from, relative to the tree's root: Markdown, what that
            links to, packages, and the file of settings. Bazel's own files are passed over.
        packages: of each project's folder.
        output: becomes the site.

    Raises:
        mkdocs.exceptions.Abort: a page has a link that leads nowhere, or a module cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        pages, code = Path(folder) / "pages", Path(folder) / "code"
        for source in sources:
            if source.suffix == ".py":
                place = code / source.relative_to(source.parts[0])
                _write(place, _ROLE.sub(r"`\1`", source.read_text()))
            elif source.suffix not in (".bazel", ".bzl", ".yml"):
                _write(pages / source, source.read_text())
        reference = {
            project: {package: _reference(pages, code, package)}
            for project, package in packages.items()
        }
        (settings,) = [it for it in sources if it.suffix == ".yml"]
        shutil.copyfile(settings, Path(folder) / "mkdocs.yml")
        config = load_config(
            str(Path(folder) / "mkdocs.yml"),
            docs_dir=str(pages),
            site_dir=str(output),
            nav=navigation(pages, reference),
            strict=True,
        )
        build(config)
        for dated in output.glob("sitemap.xml*"):  # the same tree gives the same bytes
            dated.unlink()


def navigation(pages: Path, reference: Mapping[str, Mapping[str, list[str]]]) -> list[Any]:
    """The site's contents: the tree's pages, and of each project its own and those of its package.

    Args:
        pages: the folder with all pages.
        reference: of each project its package, and the pages of its modules.
    """
    parts: list[Any] = [
        {"fraud-detect": "README.md"},
        {"What goes wrong in a mono-repo, and does not here": "docs/dangers.md"},
        {"Contributing": "CONTRIBUTING.md"},
    ]
    for project, of_package in reference.items():
        more = sorted(
            str(it.relative_to(pages))
            for it in (pages / project).rglob("*.md")
            if it != pages / project / "README.md"
        )
        parts.append({project: [f"{project}/README.md", *more, dict(of_package)]})
    told = {"README.md", "CONTRIBUTING.md", "docs/dangers.md"}
    others = {
        str(it.relative_to(pages))
        for it in pages.rglob("*.md")
        if it.relative_to(pages).parts[0] not in {*reference, "reference"}
    }
    parts.append({"more": sorted(others - told)})
    return parts


def _reference(pages: Path, code: Path, package: str) -> list[str]:
    """Writes a page for each public module of a package; their paths."""
    modules = [
        ".".join(it.relative_to(code).with_suffix("").parts)
        for it in sorted((code / package).rglob("*.py"))
    ]
    public = [it for it in modules if not any(part.startswith("_") for part in it.split("."))]
    paths = [f"reference/{it}.md" for it in public]
    for module, path in zip(public, paths, strict=True):
        _write(pages / path, f"# `{module}`\n\n::: {module}\n")
    return paths


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main() -> None:
    """`build_site OUTPUT LIST FOLDER=PACKAGE...`, from the tree's root; a line is a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("list", type=Path)
    parser.add_argument("package", nargs="+")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    os.environ.setdefault("HOME", tempfile.gettempdir())  # libraries look for settings there
    shutil.rmtree(given.output, ignore_errors=True)
    sources = [Path(line) for line in given.list.read_text().splitlines()]
    packages = dict(it.split("=") for it in given.package)
    build_site(sources, packages, given.output.absolute())


if __name__ == "__main__":
    main()
