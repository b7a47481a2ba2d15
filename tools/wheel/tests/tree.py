"""The wheels of the tree: those that Bazel built, or, outside of it, made of the same files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tools.wheel.build_wheel import build_wheel
from tools.wheel.installed import Environment, install

PROJECTS = {
    "ml": "fraud_ml",
    "connectors": "data_connector",
    "serving": "fraud_detect",
    "batch": "batch_proc",
}
"""The package in each project's folder."""

ROOT = Path.cwd()


def files_of(folder: str) -> dict[str, bytes]:
    """What a project's wheel is made of, by name in the project's folder."""
    project = ROOT / folder
    package = (path for path in (project / PROJECTS[folder]).rglob("*") if path.is_file())
    files = {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in (*package, project / "README.md", project / "pyproject.toml")
        if path.suffix != ".pyc"
    }
    return files | {"LICENSE": (ROOT / "LICENSE").read_bytes()}


@cache
def wheel_of(folder: str) -> Path:
    """The wheel of the project in that folder."""
    built = ROOT / folder / "wheel"
    if built.is_dir():
        (wheel,) = built.iterdir()
        return wheel
    return build_wheel(files_of(folder), Path(mkdtemp(prefix="wheels-")))


def wheels_of_all(folder: Path) -> Path:
    """The folder, with the wheels of all projects."""
    for project in PROJECTS:
        wheel = wheel_of(project)
        (folder / wheel.name).write_bytes(wheel.read_bytes())
    return folder


def installed_all(folder: Path, wheels: Path) -> Environment:
    """An environment with all of them: what they ask for goes together, and is there."""
    wanted = ["fraud-detect[postgresql,redis]", "batch-proc[postgresql,redis]"]
    return install(folder, wheels, wanted)
