"""Reads what `tree_files` and `paths_of` write: the paths of files, one a line."""

from pathlib import Path
from urllib.parse import unquote


def listed(file: Path) -> list[str]:
    """The paths in a file of `tree_files` or `paths_of`, relative to the workspace, in order.

    Raises:
        ValueError: there is none, so whatever is said of each of them would be true.
    """
    paths = [unquote(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    if not paths:
        raise ValueError(f"{file} lists no file; was Bazel run without .bazelrc?")
    return paths
