"""Prints the targets that the difference between BASE and the working tree can change.

    ./bazelw run //tools/ci:affected -- main                 one label a line, a summary on stderr
    ./bazelw run //tools/ci:affected -- main --tests         only tests
    ./bazelw run //tools/ci:affected -- main --json          all that is known, for programs

The working tree counts as it is, with what is not committed and what is new. BASE is a commit,
a branch or a tag; on a branch of yours `$(git merge-base main HEAD)` leaves out what others have
changed on main since. Every target that may behave differently is there; one more may be too.
Manual targets and test suites are told only with --json, for naming one runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.affected.ask_bazel import BazelQuery, kept_folder
from tools.affected.difference import Difference, Tree, difference, project_of
from tools.affected.errors import AffectedError
from tools.affected.graph import Rule
from tools.affected.trees import Trees

DONE, FAILED = 0, 1


def compare(root: Path, base: str, kept: Path) -> Difference:
    """The difference between a commit and the working tree at `root`."""
    trees = Trees(root, kept)
    old, new = trees.of_commit(base), trees.of_working_tree()
    query = BazelQuery(trees, kept)

    def tree(name: str) -> Tree:
        return Tree(query.graph(name), trees.files(name), lambda path: trees.text(name, path))

    try:
        before = tree(old)
    except AffectedError as error:
        sys.stderr.write(f"warning: so everything counts as affected: {error}\n")
        before = None
    return difference(before, tree(new), trees.files(old))


def listed(rules: Sequence[Rule], *, tests: bool) -> list[str]:
    """The labels to give to `bazel build` or `bazel test`."""
    return [
        rule.label
        for rule in rules
        if not rule.is_manual and rule.kind != "test_suite" and (rule.is_test or not tests)
    ]


def as_json(base: str, found: Difference) -> str:
    """Everything that is known, in a stable order."""
    targets = [
        {
            "label": rule.label,
            "kind": rule.kind,
            "project": project_of(rule.label),
            "test": rule.is_test,
            "manual": rule.is_manual,
        }
        for rule in found.targets
    ]
    answer = {
        "base": base,
        "files": found.files,
        "everything": found.everything,
        "projects": found.projects,
        "targets": targets,
        "removed": found.removed,
    }
    return json.dumps(answer, indent=2) + "\n"


def summary(base: str, found: Difference) -> str:
    """One line for people, and why, where everything is affected."""
    n_tests = sum(rule.is_test and not rule.is_manual for rule in found.targets)
    line = (
        f"{len(found.files)} files differ from {base}: {len(found.targets)} targets, "
        f"{n_tests} of them tests, in {', '.join(found.projects) or 'no project'}\n"
    )
    return line + (f"everything, for {found.everything}\n" if found.everything else "")


def main(arguments: Sequence[str]) -> int:
    """0, or 1 where the question cannot be answered; argparse leaves with 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="affected", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", metavar="BASE", help="commit, branch or tag to compare with")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--tests", action="store_true", help="print only tests")
    options = parser.parse_args(arguments)
    root = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute()
    try:
        found = compare(root, options.base, kept_folder())
    except (AffectedError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return FAILED
    if options.json:
        sys.stdout.write(as_json(options.base, found))
    else:
        sys.stdout.writelines(f"{label}\n" for label in listed(found.targets, tests=options.tests))
    sys.stderr.write(summary(options.base, found))
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
