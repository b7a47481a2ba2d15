"""Runs one pytest file as a Bazel test: `pytest_test` makes this its main file.

What Bazel says through the environment becomes options of pytest: the report goes where Bazel
looks for it, temporary folders where Bazel clears them, and `--test_filter` selects tests. Under
`bazel coverage` the lines that ran are measured.
"""

import os
import sys
from pathlib import Path

import pytest

from tools.pytest.measured import measured


def options() -> list[str]:
    """Options for pytest from Bazel's test environment; none outside of it (`bazel run`)."""
    given = ["-c", "tools/pytest/pytest.ini", "--rootdir", str(Path.cwd())]
    if report := os.environ.get("XML_OUTPUT_FILE"):
        given += ["--junitxml", report]
    if folder := os.environ.get("TEST_TMPDIR"):
        given += ["--basetemp", str(Path(folder) / "pytest")]
    if only := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        given += ["-k", only]
    return given


def main() -> int:
    """The exit code of pytest. A file in which no test ran has failed (pytest's exit code 5)."""
    # Bazel gives the JVM's folder relative to where the test starts; children may go elsewhere.
    if java_home := os.environ.get("JAVA_HOME"):
        os.environ["JAVA_HOME"] = str(Path(java_home).absolute())
    # Tests run side by side, one a core: threads would only wait for each other, spinning.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Files that tests leave in the home folder land in the test's own.
    if folder := os.environ.get("TEST_TMPDIR"):
        os.environ["HOME"] = folder
    with measured():
        return pytest.main([*options(), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
