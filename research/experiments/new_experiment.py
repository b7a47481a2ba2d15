"""`./bazelw run //research:new_experiment -- NAME`: the folder of an experiment that runs."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from data_connector.command import UsageError, run
from experiments.study_code import CODE, NOTEBOOK
from experiments.study_folder import OWNER

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
PLACE = Path("research/experiments")
CODE_DEPS = ("//ml:scenario", "//ml:simulator", "//research:study", "@pip//numpy")
NOTEBOOK_DEPS = (
    "//ml:scenario",
    "//ml:simulator",
    "//research:study_code",
    "@pip//marimo",
    "@pip//numpy",
)


def make(root: Path, name: str, *, owner: str, notebook: bool) -> Path:
    """The new folder of an experiment, which works and is the user's to change.

    Args:
        root: of the workspace.
        name: the folder's.
        owner: as CODEOWNERS writes it.
        notebook: whether its code is a notebook.

    Raises:
        UsageError: there can be no such experiment.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r}: a name has lower-case letters, digits and single underscores, and begins"
            " with a letter"
        )
    folder = root / PLACE / name
    if folder.exists() or folder.with_suffix(".py").exists():  # a module would hide the folder
        raise UsageError(f"{name!r} is there already; choose another name")
    if not OWNER.fullmatch(owner):
        raise UsageError(f"--owner {owner}: is neither @user nor @organisation/team")
    folder.mkdir()
    templates = resources.files("experiments").joinpath("templates")
    deps = NOTEBOOK_DEPS if notebook else CODE_DEPS
    filled = {"name": name, "owner": owner, "deps": "".join(f'        "{it}",\n' for it in deps)}
    for file in ("BUILD.bazel", "config.toml", "README.md", NOTEBOOK if notebook else CODE):
        text = templates.joinpath(f"{file}.txt").read_text(encoding="utf-8")
        folder.joinpath(file).write_text(text.format(**filled), encoding="utf-8")
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the folder that the command line asks for, and says what to do with it."""
    parser = argparse.ArgumentParser(
        prog="./bazelw run //research:new_experiment --",
        description="Make the folder of a new experiment, which runs and is tested as it is.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="the folder's, below research/experiments")
    parser.add_argument(
        "--owner",
        default="@fraud-detect/modelling",
        help="who answers for it, as in CODEOWNERS (default: %(default)s)",
    )
    parser.add_argument("--notebook", action="store_true", help="its code is a notebook")
    given = parser.parse_args(arguments)
    root = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute()
    folder = make(root, given.name, owner=given.owner, notebook=given.notebook)
    sys.stdout.write(
        f"{folder.relative_to(root)}: ask the question in README.md and config.toml, then\n"
        f"  ./bazelw test //{PLACE}/{given.name}:test    its code, on small parameters\n"
        f"  ./bazelw run //{PLACE}/{given.name}          the experiment, kept and reported\n"
    )


if __name__ == "__main__":
    sys.exit(run(main))
