"""The running CPython as files of an archive that works from whatever folder it is unpacked to.

Python finds its standard library from where its program lies. The program is made to find its
shared libraries the same way, and brings all that are not glibc's.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.python_environment import elf
from tools.python_environment.tarball import Content, Link

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"

# glibc: a program and its loader must be of one build, so it is always the machine's own.
GLIBC = frozenset({
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
})  # fmt: skip

# For windows, terminals, tests and installers, none of which a worker has.
LEFT_OUT_FOLDERS = frozenset({
    "__pycache__",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "site-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
})  # fmt: skip
LEFT_OUT_FILES = (
    "config-*/*",  # the interpreter as a static library
    "lib-dynload/_ctypes_test.*",
    "lib-dynload/_curses*",
    "lib-dynload/_test*",
    "lib-dynload/_tkinter.*",
    "lib-dynload/_xx*",
    "lib-dynload/nis.*",
    "lib-dynload/readline.*",  # under the GPL, and for people
    "lib-dynload/xx*",
)  # fmt: skip


def packages_folder() -> str:
    """Where in the archive packages go: `lib/python3.11/site-packages`, or as the build says."""
    prefix = "/prefix"
    return str(Path(site.getsitepackages([prefix])[-1]).relative_to(prefix))


def interpreter_files() -> dict[str, Content]:
    """The interpreter, its standard library and its shared libraries, by name in the archive.

    Raises:
        elf.ElfError: this interpreter's program cannot be made to find libraries beside it.
    """
    base = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib"))
    program = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    files: dict[str, Content] = {}
    standard = list(_standard_library(library))
    for path in standard:
        files[str(path.relative_to(base))] = _as_loaded(path)
    for name, path in sorted(_libraries([program, *filter(_is_elf, standard)])):
        files[f"lib/{name}"] = _as_loaded(path)
    try:
        files[f"bin/{VERSION}"] = elf.with_search_path(program.read_bytes(), "$ORIGIN/../lib")
    except elf.ElfError as error:
        raise elf.ElfError(
            f"{program} cannot be made to find libraries beside it: {error}. Build with another"
            f" CPython {sys.version_info.major}.{sys.version_info.minor}: FRAUD_PYTHON=/path"
        ) from error
    files["bin/python"] = files["bin/python3"] = Link(VERSION)
    # Without this the packages of the worker's user (~/.local) would come before ours. It names
    # no home: the standard library is beside it, wherever that is.
    files["pyvenv.cfg"] = b"include-system-site-packages = false\n"
    return files


def _standard_library(library: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(library):
        folders[:] = sorted(set(folders) - LEFT_OUT_FOLDERS)
        for name in sorted(names):
            path = Path(folder, name)
            inside = path.relative_to(library)
            left_out = any(inside.match(pattern) for pattern in LEFT_OUT_FILES)
            if path.is_file() and not left_out:
                yield path


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return elf.is_elf(file.read(16))


def _as_loaded(path: Path) -> Content:
    """The file, or its content without the folders that the machine it was built on has."""
    if not _is_elf(path):
        return path
    data = path.read_bytes()
    return elf.without_search_path(data) if elf.search_path(data) else path


def _libraries(linked: Iterable[Path]) -> set[tuple[str, Path]]:
    """Name and place of each library that the files need on this machine, but for glibc's.

    Raises:
        elf.ElfError: one is missing here.
    """
    found = set()
    for path in linked:
        for line in _loader_list(path).splitlines():
            name, arrow, place = line.strip().partition(" => ")
            if not arrow or name in GLIBC:
                continue
            if place == "not found":
                raise elf.ElfError(f"{path} needs {name}, which this machine does not have")
            found.add((name, Path(place.rpartition(" (")[0])))
    return found


def _loader_list(path: Path) -> str:
    """What `ldd` prints: the loader's own account of what it would load."""
    data = Path(sys._base_executable).resolve().read_bytes()  # type: ignore[attr-defined]
    loader = next(s for s in elf.segments(data) if s.kind == elf.INTERPRETER)
    name = data[loader.offset : loader.offset + loader.size].rstrip(b"\0").decode()
    done = subprocess.run([name, "--list", path], capture_output=True, text=True, check=False)
    if done.returncode and "statically linked" not in done.stdout + done.stderr:
        raise elf.ElfError(f"{path}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
