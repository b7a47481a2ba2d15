"""Builds the wheel of a project: the rule `python_wheel` in defs.bzl, and `//tools/release:cut`.

    build_wheel --out FOLDER --manifest FILE

The project's `pyproject.toml` says what the wheel is called, needs and offers, and flit_core, the
build backend that it names, makes it. What is done here is what makes the bytes depend on
nothing else: the files are copied to an empty folder first, so that neither their times and
permissions nor what lies beside them counts. And machine code among them is told of, which
flit_core knows nothing of.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from flit_core import buildapi
from flit_core.config import ConfigError

from tools.wheel.machine_code import PURE, MachineCodeError, retagged, tag_of

EPOCH = "315532800"  # 1980-01-01, the first day that a zip file can tell
LICENCE = "LICENSE"  # of the repository; each wheel carries a copy


class WheelError(Exception):
    """The files make no wheel; the message says why."""


def build_wheel(files: Mapping[str, bytes], out: Path) -> Path:
    """The wheel, written into the folder ``out``: the same bytes for the same files.

    Args:
        files: contents by their name in the project's folder: `pyproject.toml`, `README.md`, the
            package with its machine code, and the licence as `LICENSE`.
        out: an existing folder.

    Raises:
        WheelError: a file is missing, `pyproject.toml` says something wrong, or it cannot be told
            on which machines the machine code runs.
    """
    for name in ("pyproject.toml", LICENCE):
        if name not in files:
            raise WheelError(f"a wheel needs the file {name}, which is not among its files")
    try:
        tag = tag_of(files)
        wheel = _built(files, out.absolute())
        return wheel if tag == PURE else retagged(wheel, tag)
    except (ConfigError, MachineCodeError, ValueError, OSError) as error:
        raise WheelError(f"{_named(files)}: {error}") from error


def _built(files: Mapping[str, bytes], out: Path) -> Path:
    """The wheel that flit_core makes, of pure Python."""
    with tempfile.TemporaryDirectory() as folder, _environment("SOURCE_DATE_EPOCH", EPOCH):
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)
        with contextlib.chdir(folder):  # where a build backend looks, says PEP 517
            wheel = Path(out, buildapi.build_wheel(str(out)))
    if not wheel.name.endswith(f"-{PURE}.whl"):
        wheel.unlink()
        raise ConfigError("requires-python is missing, or allows Python 2")
    return wheel


def _named(files: Mapping[str, bytes]) -> str:
    """Which project these are the files of, for a message."""
    packages = {name.split("/")[0] for name in files if name.endswith("/__init__.py")}
    return "the wheel of " + (", ".join(sorted(packages)) or "a project without a package")


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def read_manifest(path: Path) -> dict[str, bytes]:
    """The contents of the files that it lists, a line each: name, tab, path."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines)
    return {name: Path(place).read_bytes() for name, place in pairs}


def main(arguments: list[str]) -> int:
    """0 when the wheel is written, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write it into")
    parser.add_argument("--manifest", type=Path, required=True, help="every file: name, tab, path")
    options = parser.parse_args(arguments)
    try:
        build_wheel(read_manifest(options.manifest), options.out)
    except WheelError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
