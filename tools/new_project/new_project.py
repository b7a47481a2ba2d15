"""Makes a project that builds, is tested, has an owner and is documented.

    ./bazelw run //tools:new_project -- console --kind service
    ./bazelw run //tools:new_project -- disputes --kind workflow --package dispute_proc

Kinds: a library is built on by all but libraries; a service and a workflow build on libraries; a
lab builds on all, and nothing on it. What is made is small and works; it is yours to change.
Exit codes: 0 done, 1 failed, 2 wrong usage. When it fails, nothing has changed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.api import api
from tools.new_project.lists import LISTS, NewProjectError, Project
from tools.new_project.templates import KINDS, project_files
from tools.ownership.owners import OWNER

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 40
# Folders that mean something to Bazel, git or this repository.
RESERVED = {"bazel", "build", "docs", "external", "tests", "tools"}


def check(root: Path, project: Project) -> None:
    """Raises NewProjectError where there can be no such project."""
    for what, name in (("project", project.folder), ("package", project.package)):
        if not NAME.fullmatch(name) or len(name) > LONGEST:
            raise NewProjectError(
                f"{what} {name!r}: a name has up to {LONGEST} lower-case letters, digits and "
                "single underscores, and begins with a letter"
            )
    if project.folder in RESERVED or project.folder.startswith("bazel_"):
        raise NewProjectError(f"project {project.folder!r}: the name is taken; choose another")
    if (root / project.folder).exists():
        raise NewProjectError(f"there is a {project.folder} in {root} already; choose another name")
    if project.package in sys.stdlib_module_names:
        raise NewProjectError(f"package {project.package!r} would hide Python's own: --package")
    locked = (root / "requirements_lock.txt").read_text(encoding="utf-8")
    names = {name.lower() for name in re.findall(r"^([\w.-]+)==", locked, re.MULTILINE)}
    if project.package.replace("_", "-") in names:
        raise NewProjectError(f"package {project.package!r} is a dependency of ours: --package")
    if f'"{project.package}"' in (root / "tools/projects.bzl").read_text(encoding="utf-8"):
        raise NewProjectError(f"package {project.package!r} is another project's: --package")
    if not OWNER.fullmatch(project.owner):
        raise NewProjectError(f"owner {project.owner!r} is neither @user, @org/team nor an address")


def make_folder(parent: Path, project: Project, ruff: Path, config: str) -> Path:
    """The project's files in a folder below `parent`, sorted and formatted as its tests want."""
    folder = parent / project.folder
    for path, text in project_files(Path(__file__).parent / "templates", project):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (parent / "ruff.toml").write_text(config, encoding="utf-8")
    for command in (("check", "--select", "I", "--fix"), ("format",)):
        done = subprocess.run(
            [ruff, *command, "--quiet", "--no-cache", "--config", "ruff.toml", project.folder],
            cwd=parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NewProjectError(f"ruff {command[0]} fails: {done.stdout}{done.stderr}")
    sources = sorted((folder / project.package).glob("*.py"))
    modules = [] if project.kind == "library" else [project.package]
    listed = api.text(project.folder, project.package, modules, sources)
    (folder / "api.txt").write_text(listed, encoding="utf-8")
    return folder


def make(root: Path, project: Project, ruff: Path) -> list[str]:
    """Makes the project; returns the paths, relative to `root`, of what is new and what changed."""
    check(root, project)
    before = {path: (root / path).read_text(encoding="utf-8") for path in LISTS}
    after = {path: add(before[path], project) for path, add in LISTS.items()}
    with tempfile.TemporaryDirectory(prefix=".new_project_", dir=root) as aside:
        folder = make_folder(Path(aside), project, ruff, after["ruff.toml"])
        try:
            for path, text in after.items():
                (root / path).write_text(text, encoding="utf-8")
            folder.rename(root / project.folder)
        except BaseException:
            for path, text in before.items():
                (root / path).write_text(text, encoding="utf-8")
            shutil.rmtree(root / project.folder, ignore_errors=True)
            raise
    return [f"{project.folder}/", *sorted(after)]


def parse(arguments: Sequence[str]) -> Project:
    """The project that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="new_project",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="NAME", help="the project's folder")
    parser.add_argument("--kind", required=True, choices=KINDS)
    parser.add_argument("--package", help="what is imported (default: fraud_NAME)")
    parser.add_argument("--owner", default="@fraud-detect/platform", help="who reviews it")
    parser.add_argument("--summary", help="what it is for, for the README's table")
    options = parser.parse_args(arguments)
    return Project(
        folder=options.folder,
        kind=options.kind,
        package=options.package or f"fraud_{options.folder}",
        owner=options.owner,
        summary=options.summary or f"a new {options.kind}",
    )


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with what is wrong on standard error."""
    project = parse(arguments)
    root = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute()
    try:
        changed = make(root, project, Path(os.environ["RUFF"]).absolute())
    except (NewProjectError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("\n".join(changed) + "\n")
    sys.stdout.write(f"next: ./bazelw test //{project.folder}/... //tools/ownership/...\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
