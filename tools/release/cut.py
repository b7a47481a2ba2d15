"""`./bazelw run //tools/release:cut`: releases what `:plan` proposes.

One commit has all versions, changelogs, interfaces and the matrix; tags name it. It is made aside,
and the branch and the tags move to it in one step of git: there is all of a release or none,
whenever this is stopped.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.release.errors import ReleaseError, listed
from tools.release.git import Git
from tools.release.matrix import DATA, PAGE, read_matrix, to_json, to_page
from tools.release.plan import Release, plan_releases, shown, workspace
from tools.release.store import WheelStore, usual_store, wheels_at
from tools.release.together import Shelf, tried_together
from tools.release.written import Texts, release_texts

TESTS = ("./bazelw", "test", "//...")


@dataclass(frozen=True, kw_only=True, slots=True)
class CutOptions:
    """How to release."""

    root: Path
    date: str
    """`YYYY-MM-DD`."""
    one_version: bool
    tests: tuple[str, ...]
    """The command that must succeed first; none where it has, on this very commit."""
    store: WheelStore
    """Of the wheels of releases."""


def proposed(options: CutOptions) -> tuple[list[Release], Texts]:
    """The releases, and what they change but for the matrix.

    Raises:
        ReleaseError: there is nothing to release, or something is wrong.
    """
    releases = plan_releases(options.root, one_version=options.one_version)
    if not any(release.is_new for release in releases):
        raise ReleaseError("there is nothing to release: no fragment, and no other interface")
    return releases, release_texts(options.root, releases, options.date)


def cut(options: CutOptions) -> list[str]:
    """The tags of the releases, after they were tested, committed and tagged.

    Raises:
        ReleaseError: something is wrong, and nothing has changed.
    """
    git = Git(options.root)
    if dirt := git.dirt():
        raise ReleaseError(f"commit or remove what is not committed:{listed(dirt[:10])}")
    branch, head = git.branch(), git.head()
    releases, texts = proposed(options)
    new = [release for release in releases if release.is_new]
    tags = [release.project.tag(release.version) for release in new]
    if there := sorted(git.tags().intersection(tags)):
        raise ReleaseError(f"there are tags of these releases: {', '.join(there)}; pull first")
    _run_tests(options)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tree = git.tree(head, texts)
        wheels = {
            one.project.name: wheels_at(git, tree, one.project, _made(work / one.project.name))
            for one in new
        }
        new_wheels = list(itertools.chain.from_iterable(wheels.values()))
        for wheel in new_wheels:
            options.store.refuse_another(wheel)  # after all is released it would be too late
        shelf = Shelf(
            git=git,
            store=options.store,
            projects={one.project.name: one.project for one in releases},
            new=wheels,
        )
        before = read_matrix(_matrix_text(options.root))
        matrix = tried_together(
            shelf, releases, before, date=options.date, work=_made(work / "work")
        )
        tree = git.tree(tree, {DATA: to_json(matrix), PAGE: to_page(matrix)})
        commit = git.commit(tree, head, _message(new))
        git.publish(commit, head, branch, tags)
        for wheel in new_wheels:
            options.store.keep(wheel)
    return tags


def _interrupted(git: Git, before: str) -> str:
    """What a user who stopped it has to know."""
    if git.head() == before:
        return "interrupted: nothing was released"
    return "interrupted after all was released: git reset --hard brings the files here up to date"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _matrix_text(root: Path) -> str:
    path = root / DATA
    return path.read_text(encoding="utf-8") if path.exists() else to_json([])


def _message(new: Sequence[Release]) -> str:
    names = ", ".join(f"{one.project.name} {one.version}" for one in new)
    return f"Release {names}\n\nWritten by //tools/release:cut.\n"


def _run_tests(options: CutOptions) -> None:
    if options.tests and subprocess.run(options.tests, cwd=options.root, check=False).returncode:
        raise ReleaseError(f"`{' '.join(options.tests)}` fails: nothing was released")


def parse_cut_options(arguments: Sequence[str] | None) -> tuple[CutOptions, bool]:
    """The options, and whether only to show what would be done; wrong ones exit with 2."""
    parser = argparse.ArgumentParser(
        prog="./bazelw run //tools/release:cut --",
        description="Release what //tools/release:plan proposes: test, write, commit and tag.",
        epilog="Nothing is pushed: git push --atomic origin BRANCH TAG...",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be written, and stop"
    )
    parser.add_argument(
        "--one-version", action="store_true", help="one version for all projects, the greatest"
    )
    parser.add_argument(
        "--tested",
        action="store_true",
        help=f"`{' '.join(TESTS)}` has passed on this very commit: do not run it again",
    )
    root = workspace()
    parser.add_argument(
        "--store",
        type=Path,
        metavar="FOLDER",
        help="of released wheels (default: $FRAUD_HOME/releases)",
    )
    given = parser.parse_args(arguments)
    options = CutOptions(
        root=root,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        one_version=given.one_version,
        tests=() if given.tested else TESTS,
        store=WheelStore(given.store.absolute() if given.store else usual_store(root)),
    )
    return options, given.dry_run


def _show(options: CutOptions) -> None:
    releases, texts = proposed(options)
    sys.stdout.write(f"{shown(releases)}\n")
    for name, text in texts.items():
        sys.stdout.write(f"would {'remove' if text is None else 'write'} {name}\n")
    tags = (one.project.tag(one.version) for one in releases if one.is_new)
    sys.stdout.write(f"would write {DATA}\nwould write {PAGE}\nwould tag {', '.join(tags)}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all is released, else 1 with the reason on standard error, and nothing changed."""
    options, dry_run = parse_cut_options(arguments)
    try:
        if dry_run:
            _show(options)
            return 0
        git = Git(options.root)
        before = git.head()
        try:
            tags = cut(options)
        except KeyboardInterrupt:
            raise ReleaseError(_interrupted(git, before)) from None
    except ReleaseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"released {', '.join(tags)}\nwheels: {options.store.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
