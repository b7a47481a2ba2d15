"""Makes one archive of an interpreter, packages and our code: `python_environment` in defs.bzl.

The interpreter is the one that this runs on: Bazel's, as its toolchain says.
"""

from __future__ import annotations

import argparse
import json
import mmap
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tools.python_environment import elf
from tools.python_environment.interpreter import interpreter_files, packages_folder
from tools.python_environment.packages import PackagesError, distributions, package_files
from tools.python_environment.tarball import Content, write_tarball

PROGRAM = '''\
"""Runs {module}: Spark takes a file, and no module."""

import runpy

runpy.run_module("{module}", run_name="__main__", alter_sys=True)
'''


def read_manifest(path: Path) -> dict[str, Path]:
    """Where each file is, by its name in the runfiles: a line is the two with a tab between."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines)
    return {_in_runfiles(name): Path(place) for name, place in pairs}


def _in_runfiles(name: str) -> str:
    """`_main/ml/x.py` of `ml/x.py`; `numpy/x.py` of `../numpy/x.py`, a file of another one."""
    return name[3:] if name.startswith("../") else f"_main/{name}"


def environment_files(
    packages: Mapping[str, Path], programs: Mapping[str, str]
) -> dict[str, Content]:
    """All files of the archive, by name.

    Args:
        packages: where each file is, by its name below site-packages.
        programs: the modules to run, by the name of the file in `bin` that does.
    """
    files = interpreter_files()
    files |= {f"{packages_folder()}/{name}": path for name, path in packages.items()}
    for name, module in programs.items():
        files[f"bin/{name}.py"] = PROGRAM.format(module=module).encode()
    files["environment.json"] = _description(files.values(), distributions(packages))
    return files


def _description(contents: Iterable[Content], packages: dict[str, str]) -> bytes:
    """What is in the archive, and what the machine that it runs on must have."""
    newest: dict[str, tuple[int, ...]] = {}
    for content in contents:
        for name, version in _versions(content).items():
            newest[name] = max(version, newest.get(name, ()))
    needs = {name: ".".join(map(str, version)) for name, version in sorted(newest.items())}
    described = {
        "python": sys.version.split()[0],
        "machine": sys.implementation._multiarch,
        "needs": needs,
        "packages": packages,
    }
    return (json.dumps(described, indent=2) + "\n").encode()


def _versions(content: Content) -> dict[str, tuple[int, ...]]:
    """The versions that a program or a library asks for; none of any other file."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            if not elf.is_elf(file.read(16)):
                return {}
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return elf.versions(data)
    return elf.versions(content) if isinstance(content, bytes) and elf.is_elf(content) else {}


def main(arguments: list[str]) -> int:
    """0 when the archive is written, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, fromfile_prefix_chars="@")
    parser.add_argument("--out", type=Path, required=True, help="the archive to write")
    parser.add_argument("--manifest", type=Path, required=True, help="every file: name, tab, place")
    parser.add_argument("--root", action="append", default=[], help="where imports start")
    parser.add_argument("--provided", action="append", default=[], help="a package to leave out")
    parser.add_argument("--program", action="append", default=[], help="NAME=MODULE, for bin")
    options = parser.parse_args(arguments)
    try:
        packages = package_files(
            read_manifest(options.manifest), options.root, provided=frozenset(options.provided)
        )
        programs = dict(program.split("=", 1) for program in options.program)
        write_tarball(options.out, environment_files(packages, programs))
    except (elf.ElfError, PackagesError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
