"""What the shared cache saves: `test` in fresh clones of the last commit, measured.

    ./bazelw run //tools/ci:report                             all tests, cold first: hours
    ./bazelw run //tools/ci:report -- --quick                  lint and format of two projects
    ./bazelw run //tools/ci:report -- --targets //ml/... --json report.json

Your own tree, output and cache are left alone: clones, their output and a cache server of their
own live in a temporary folder and go at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.ci.report_bazel import Clone, Measured, ReportError

QUICK = ("//ml:lint", "//ml:format", "//research:lint", "//research:format")
COLD, FIRST_NO_OP, NO_OP, LEAF, LIBRARY, LOCK, FRESH = (
    "cold",
    "no change, right after",
    "no change, the seventh time",
    "leaf edit",
    "library edit",
    "lock edit",
    "fresh clone",
)


def main() -> int:
    """The exit code: 0 done, 1 failed, 2 wrong usage."""
    # `bazel run` starts programs in a folder of its own; paths are relative to the user's.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    given = _parsed()
    rows: list[Measured] = []
    problem = None
    try:
        with closing(report(given)) as measuring:
            for row in measuring:
                _tell(row)
                rows.append(row)
    except (ReportError, OSError) as error:
        problem = f"error: {error}\n"
    except KeyboardInterrupt:
        problem = "interrupted: the clones have been removed\n"
    # What was measured took long: it is told wherever the measuring ended.
    console = Console()
    if rows:
        console.print(as_table(rows))
        _write(rows, given.json)
    if problem:
        sys.stderr.write(problem)
        return 1
    for aim in aims(rows, given.leaf):
        console.print(aim, highlight=False)
    if given.quick or given.targets:
        console.print("Of few targets, most of the time is Bazel's own start.")
    return 0


def _write(rows: list[Measured], path: Path | None) -> None:
    if path is not None:
        told = json.dumps([row.as_json() for row in rows], indent=2)
        path.write_text(f"{told}\n", encoding="utf-8")


def report(given: argparse.Namespace) -> Generator[Measured]:
    """All rows, each as soon as it was measured."""
    workspace = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute()
    targets = given.targets or (QUICK if given.quick else ("//...",))
    with _temporary_folder(given.folder) as folder, _cache(folder / "cache") as environment:
        writer = Clone(workspace, folder / "ci", environment)
        try:
            yield from _changes(writer, targets, given)
        finally:
            writer.remove()
        reader = Clone(workspace, folder / "developer", environment)
        try:
            _fetch(reader, targets)
            yield reader.measure(FRESH, targets)
        finally:
            reader.remove()


def _tell(row: Measured) -> None:
    """At once: the next one takes long, and may fail."""
    sys.stderr.write(
        f"measured  {row.name}: {row.seconds:,.1f} s, {row.actions:,} actions, {row.hits:,} hits, "
        f"{len(row.tests):,} tests run, {row.cached_tests:,} cached\n"
    )


def _changes(
    clone: Clone, targets: tuple[str, ...], given: argparse.Namespace
) -> Iterator[Measured]:
    """Each change on top of the one before, as commits follow each other."""
    _fetch(clone, targets)
    yield clone.measure(COLD, targets, "--config=ci")
    yield clone.measure(FIRST_NO_OP, targets, "--config=ci")
    yield clone.measure_settled(NO_OP, targets, "--config=ci")
    clone.edit(given.leaf)
    yield clone.measure(LEAF, targets, "--config=ci")
    clone.edit(given.library)
    yield clone.measure(LIBRARY, targets, "--config=ci")
    if not given.quick:
        _lock_another(clone, given.package)
        # Here the one package is fetched within the time: who changes the lock waits for that.
        yield clone.measure(LOCK, targets, "--config=ci")


def _fetch(clone: Clone, targets: tuple[str, ...]) -> None:
    """Fetches packages and tools, which come from the registries with or without a cache."""
    clone.bazel("build", "--nobuild", "--", *targets)
    clone.bazel("shutdown")  # what was analysed does not count as known


def _lock_another(clone: Clone, package: str) -> None:
    """Locks the newest version of `package` before the one that is locked."""
    lock = clone.tree / "requirements_lock.txt"
    before = lock.read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(package)}==([^\s\\]+)", before, re.MULTILINE)
    if found is None:
        raise ReportError(f"requirements_lock.txt does not lock {package}: name a package it does")
    clone.bazel("run", "//:requirements.update", "--", "-P", f"{package}<{found[1]}")
    if lock.read_text(encoding="utf-8") == before:
        raise ReportError(f"there is no version of {package} before {found[1]}: name another one")


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fraud-ci-report-", dir=parent.absolute()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _cache(folder: Path) -> Iterator[dict[str, str]]:
    """A cache server on loopback; yields the environment in which Bazel uses and fills it."""
    token = secrets.token_urlsafe(32)
    own = {
        "FRAUD_CACHE_TOKEN": token,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [
        *("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "tools.cache.serve"),
        *("--port", "0", "--folder", str(folder), "--max-size", "100G"),
    ]
    with subprocess.Popen(
        command, env=os.environ | own, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            found = re.search(r"http://\S+", server.stdout.readline() if server.stdout else "")
            if found is None:
                raise ReportError("the cache server did not start; what it says is above")
            yield {"FRAUD_CACHE_URL": found[0], "FRAUD_CACHE_TOKEN": token}
        finally:
            server.terminate()


def as_table(rows: list[Measured]) -> Table:
    """The rows for people."""
    table = Table()
    table.add_column("test after")
    for column in ("seconds", "actions", "hits", "hit rate", "tests run", "tests cached"):
        table.add_column(column, justify="right")
    for row in rows:
        rate = row.hit_rate
        table.add_row(
            row.name,
            f"{row.seconds:,.1f}",
            f"{row.actions:,}",
            f"{row.hits:,}",
            "" if rate is None else f"{rate:.1%}",
            f"{len(row.tests):,}",
            f"{row.cached_tests:,}",
        )
    return table


def aims(rows: list[Measured], leaf: str) -> list[str]:
    """What was aimed at, and whether it was reached."""
    of = {row.name: row for row in rows}
    cold, no_op, fresh = of[COLD], of[NO_OP], of[FRESH]
    project = leaf.split("/")[0]
    own = (f"//{project}:", f"//{project}/")
    strangers = [label for label in of[LEAF].tests if not label.startswith(own)]
    rate, times = fresh.hit_rate or 0.0, cold.seconds / fresh.seconds
    return [
        _aim("a fresh clone finds at least 95 % in a warm cache", f"{rate:.1%}", rate >= 0.95),
        _aim("and is at least 10 times faster than cold", f"{times:.1f} times", times >= 10),
        _aim("no change takes under 1 s", f"{no_op.seconds:.2f} s", no_op.seconds < 1),
        _aim(
            "a leaf edit re-runs only tests of its project",
            ", ".join(strangers) or f"{len(of[LEAF].tests)} of //{project}",
            bool(of[LEAF].tests) and not strangers,
        ),
    ]


def _aim(aim: str, found: str, reached: bool) -> str:  # noqa: FBT001 (its name says it)
    return f"{'reached' if reached else 'MISSED '}  {aim}: {found}"


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="report", description="Measures what the shared cache saves.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few light targets, and no change of the lock")
    add("--json", type=Path, metavar="PATH", help="also write the rows there")
    add("--targets", nargs="+", metavar="TARGET", help="what is tested (//...)")
    add("--leaf", default="research/experiments/table.py", help="file of a leaf (%(default)s)")
    add("--library", default="ml/fraud_ml/metrics.py", help="file of a library (%(default)s)")
    add("--package", default="hypothesis", help="whose locked version changes (%(default)s)")
    add(
        "--folder",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108 (a folder of its own is made in it)
        help="where clones and output go for a while; not below /tmp, which Bazel's sandbox "
        "replaces; packages alone take several GB (%(default)s)",
    )
    given = parser.parse_args()
    if given.targets:
        given.targets = tuple(given.targets)
    if given.json is not None and not given.json.absolute().parent.is_dir():
        parser.error(f"--json {given.json}: the folder does not exist")
    if not given.folder.is_dir():
        parser.error(f"--folder {given.folder}: there is no such folder")
    return given


if __name__ == "__main__":
    sys.exit(main())
