"""Checks or writes api.txt, the list of what a project lets others import.

Usage: api (--check | --write) API_TXT PACKAGE [--module NAME]... FILE...
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.api.listing import ListingError, listing, public_modules, read_package

HEAD = """\
# What others may import of {package}; a name that is removed breaks who uses it.
# Written by `./bazelw run //{project}:api.update`. A `=` marks what a caller may leave out.
"""


def text(project: str, package: str, modules: Sequence[str], files: Sequence[Path]) -> str:
    """The content of api.txt."""
    parsed = read_package(files, package)
    lines = listing(parsed, public_modules(parsed, modules))
    return HEAD.format(package=package, project=project) + "".join(f"{line}\n" for line in lines)


def check(path: Path, wanted: str, project: str) -> int:
    """0, or 1 with the difference on standard error."""
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == wanted:
        return 0
    sys.stderr.writelines(
        difflib.unified_diff(
            found.splitlines(keepends=True),
            wanted.splitlines(keepends=True),
            str(path),
            "what the code publishes",
        )
    )
    sys.stderr.write(
        f"error: the public interface of //{project} has changed. Where that is meant:\n"
        f"  ./bazelw run //{project}:api.update\nand say it in {project}/changes.\n"
    )
    return 1


def main(arguments: Sequence[str]) -> int:
    """0 for equal or written, 1 for different, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="api", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true")
    what.add_argument("--write", action="store_true")
    parser.add_argument("--module", action="append", default=[])
    parser.add_argument("path", type=Path)
    parser.add_argument("package")
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    project = options.path.parts[0]
    try:
        wanted = text(project, options.package, options.module, options.files)
    except ListingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if options.check:
        return check(options.path, wanted, project)
    Path(os.environ["BUILD_WORKSPACE_DIRECTORY"], options.path).write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
