"""Packages and our own code as files of an archive, from where Bazel keeps them."""

from __future__ import annotations

import filecmp
import fnmatch
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

# What importing and running never reads, by path below site-packages.
LEFT_OUT = (
    "*.a",
    "*.cuh",
    "*.h",
    "*.hpp",
    "*.pth",  # under Bazel, too, nobody runs these when Python starts
    "*.pxd",
    "*.pyc",
    "*.pyx",
    "*/tests/*",
    "pyarrow/include/*",
    "torch/include/*",
    "torch/test/*",  # programs that test it; so are those in bin
)
TORCH_PROGRAMS = "torch/bin/*"
NEEDED_TORCH_PROGRAM = "torch/bin/torch_shm_manager"  # by tensors that processes share


class PackagesError(Exception):
    """The files that Bazel gave cannot be one folder of packages; the message says why."""


def package_files(
    paths: Mapping[str, Path], roots: Iterable[str], *, provided: frozenset[str]
) -> dict[str, Path]:
    """Where each file is, by its name below site-packages.

    Args:
        paths: where each file is, by its name in the runfiles: `_main/ml/fraud_ml/model.py`.
        roots: the folders of the runfiles that imports start from: `_main/ml`. Files outside of
            them are no modules and are left out.
        provided: packages that are left out, as what runs the archive brings its own.

    Raises:
        PackagesError: two packages have a file of one name that differs, or a Python file of
            ours is in no folder that imports start from.
    """
    starts = frozenset(roots)
    files: dict[str, Path] = {}
    for name, path in sorted(paths.items()):
        inside = _inside(name, starts)
        if inside is None:
            if name.startswith("_main/") and name.endswith(".py"):
                raise PackagesError(f"{name} is in no folder that imports start from")
        elif inside.split("/")[0] not in provided and not is_left_out(inside):
            other = files.setdefault(inside, path)
            if other != path and not filecmp.cmp(other, path, shallow=False):
                raise PackagesError(f"{inside} is in two packages: {other} and {path} differ")
    return files


def _inside(name: str, roots: frozenset[str]) -> str | None:
    """The file's name below the longest of the roots that it is in."""
    folder = posixpath.dirname(name)
    while folder:
        if folder in roots:
            return name[len(folder) + 1 :]
        folder = posixpath.dirname(folder)
    return None


def is_left_out(name: str) -> bool:
    """Whether a file below site-packages is of no use to who only runs what is there."""
    if fnmatch.fnmatchcase(name, TORCH_PROGRAMS):
        return name != NEEDED_TORCH_PROGRAM
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT)


def distributions(names: Iterable[str]) -> dict[str, str]:
    """The versions of the packages that files below site-packages belong to, by name."""
    folders = {name.split("/")[0] for name in names}
    found = (
        folder.removesuffix(".dist-info").split("-", 1)
        for folder in folders
        if folder.endswith(".dist-info")
    )
    return dict(sorted((name.lower(), version) for name, version in found))
