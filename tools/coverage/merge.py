"""What `.bazelrc` gives Bazel in place of its own merger of coverage reports.

Bazel runs it after each test, over the folder that the test wrote to, and once at the end, over the
reports of all tests.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.coverage import lcov


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Bazel's options; those that say nothing about lines are let pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--coverage_dir", type=Path, help="the folder that a test wrote to")
    parser.add_argument("--reports_file", type=Path, help="a list of reports, one a line")
    parser.add_argument("--source_file_manifest", type=Path, help="a list of the files wanted")
    parser.add_argument("--output_file", type=Path, required=True)
    known, _ = parser.parse_known_args(arguments)
    if (known.coverage_dir is None) == (known.reports_file is None):
        parser.error("either --coverage_dir or --reports_file")
    return known


def main(arguments: list[str]) -> int:
    """0, with the merged report written."""
    options = parsed(arguments)
    if options.reports_file is None:
        reports = sorted(options.coverage_dir.rglob("*.dat"))
    else:
        named = options.reports_file.read_text(encoding="utf-8").split("\n")
        # What is no test of ours may have written none.
        reports = [path for path in map(Path, filter(None, named)) if path.exists()]
    merged = lcov.merge(lcov.read(path.read_text(encoding="utf-8")) for path in reports)
    if options.source_file_manifest is not None:
        wanted = set(options.source_file_manifest.read_text(encoding="utf-8").split("\n"))
        merged = {path: lines for path, lines in merged.items() if path in wanted}
    options.output_file.write_text(lcov.write(merged), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
