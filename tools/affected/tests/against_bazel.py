"""Holds what `affected` says of this tree against what Bazel does; slow, so run by hand.

    ./bazelw run //tools/affected/tests:against_bazel

changes every file of the tree in turn, in memory, and asks whether all that depends on it, as
Bazel's own graph of everything (packages too) tells, is among the affected.

    ./bazelw run //tools/affected/tests:against_bazel -- --really 8 //tools/api/...

really changes files, one after the other, runs the tests, and asks whether each test that Bazel
ran again is among the affected. It happens in a copy of the tree, with a Bazel server of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from users import Users

from tools.affected.ask_bazel import BazelQuery, kept_folder
from tools.affected.difference import Tree, difference
from tools.affected.graph import short
from tools.affected.trees import Trees

TEXTS = (".bzl", ".py", ".json", ".toml", ".md", ".bazel", ".in", ".yaml", ".conf", ".css")


def label_of(path: str, files: Mapping[str, str]) -> str:
    """The label of a file: its package is the nearest folder with a BUILD file."""
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if f"{folder}/BUILD.bazel".lstrip("/") in files:
            break
    return f"//{folder}:{path.removeprefix(folder).lstrip('/')}"


def missed(tree: Tree, users: Users) -> Iterator[tuple[str, set[str], int, int]]:
    """For each file: what should be affected and is not, how many are, how many should be."""
    for path in sorted(tree.files):
        if path == "requirements_lock.txt":
            continue  # a line of it is no package; test_lock.py changes lines
        changed = Tree(tree.graph, {**tree.files, path: "changed"}, tree.read)
        found = {rule.label for rule in difference(tree, changed, tree.files).targets}
        wanted = users.of(label_of(path, tree.files)) & tree.graph.rules.keys()
        yield path, wanted - found, len(found), len(wanted)


def compare_graphs(root: Path, tree: Tree) -> int:
    """0 where nothing is missed."""
    # Of what Bazel itself brings, parts are fetched only where they are used, and lack here.
    query = ["query", "--keep_going", "filter('^(@@)?//', deps(//...))"]
    query += ["--output=graph", "--nograph:factored"]
    done = subprocess.run(
        [root / "bazelw", *query, "--consistent_labels", "--noshow_progress"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 3) or re.search(r"no such \w+ '(@@)?//", done.stderr):
        sys.exit(done.stderr)
    users = Users(done.stdout)
    rows = list(missed(tree, users))
    for path, lost, _, _ in rows:
        if lost:
            sys.stdout.write(f"MISSED {path}: {', '.join(sorted(lost))}\n")
    n_missed = sum(bool(lost) for _, lost, _, _ in rows)
    some = [(found, wanted) for _, _, found, wanted in rows if 0 < found < len(tree.graph.rules)]
    sys.stdout.write(
        f"{len(rows)} files changed in turn, {n_missed} with a target missed; "
        f"{sum(found == len(tree.graph.rules) for _, _, found, _ in rows)} affect all "
        f"{len(tree.graph.rules)} targets; the {len(some)} others that affect any: "
        f"{sum(found for found, _ in some)} targets told, {sum(wanted for _, wanted in some)} "
        "depend on them\n"
    )
    return int(n_missed > 0 or not some)


def ran(events: Path) -> tuple[set[str], set[str]]:
    """Labels of the tests that ran, and of those that passed, from Bazel's events."""
    fresh, passed = set(), set()
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if result := event.get("testResult"):
            label = short(event["id"]["testResult"]["label"])
            if not result.get("cachedLocally"):
                fresh.add(label)
            if result["status"] == "PASSED":
                passed.add(label)
    return fresh, passed


def really(trees: Trees, query: BazelQuery, count: int, patterns: Sequence[str]) -> int:
    """0 where Bazel ran no test again that is not among the affected."""

    def tree(name: str) -> Tree:
        return Tree(query.graph(name), trees.files(name), lambda path: trees.text(name, path))

    def test(name: str) -> tuple[set[str], set[str]]:
        with tempfile.NamedTemporaryFile(suffix=".json") as events:
            options = ("--keep_going", f"--build_event_json_file={events.name}")
            done = query.run(name, "test", *options, *patterns)
            if done.returncode not in (0, 3):  # 3: a test fails, which a change may bring about
                sys.exit(done.stderr.decode(errors="replace"))
            return ran(Path(events.name))

    name = trees.of_working_tree()
    _, passed = test(name)
    folders = tuple(pattern.removeprefix("//").partition("...")[0] for pattern in patterns)
    paths = [
        path for path in trees.files(name) if path.startswith(folders) and path.endswith(TEXTS)
    ]
    n_missed = 0
    for path in random.Random(count).sample(sorted(paths), min(count, len(paths))):
        mark = "#" if path.endswith((".py", ".bzl", ".bazel", ".toml", ".yaml")) else ""
        new = trees.with_text(name, path, f"{trees.text(name, path)}\n{mark}\n")
        told = difference(tree(name), tree(new), trees.files(name))
        found = {rule.label for rule in told.targets}
        # A test that failed before runs again whatever changes.
        before, (fresh, passed) = passed, test(new)
        lost = (fresh & before) - found
        n_missed += bool(lost)
        sys.stdout.write(f"{path}: {len(fresh & before)} tests ran again, {len(found)} affected\n")
        if lost:
            sys.stdout.write(f"MISSED {', '.join(sorted(lost))}\n")
        name = new
    return int(n_missed > 0)


def main() -> int:
    """0 where nothing is missed, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--really", type=int, metavar="N", help="how many files to change")
    parser.add_argument("patterns", nargs="*", help="which tests to run, and whose files to change")
    options = parser.parse_args()
    root = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    kept = kept_folder()
    trees = Trees(root, kept)
    query = BazelQuery(trees, kept)
    if options.really:
        return really(trees, query, options.really, options.patterns)
    name = trees.of_working_tree()
    tree = Tree(query.graph(name), trees.files(name), lambda path: trees.text(name, path))
    return compare_graphs(root, tree)


if __name__ == "__main__":
    sys.exit(main())
