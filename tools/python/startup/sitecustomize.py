"""Python imports this by itself when it starts: packages' modules come compiled from archives.

Beside the folder `site-packages` of a package lies `site-packages.bytecode`, where a target of
`bytecode.bzl` put it; compile_bytecode.py tells its format. A module of the folder is taken from
there. Where the archive or the module in it is missing, or another Python wrote it, the module is
compiled from its source as ever. Every process pays for this file: it imports built-in modules
only.
"""
# ruff: noqa: S302 (the archives are Bazel's, as the sources are)

import _imp
import marshal
import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, SourceLoader
from types import CodeType

_FOLDER = "/site-packages"
_SIZE_BYTES = 4

# By folder: where the archive's code starts, and where in it each module is, from there on.
_indexes: dict[str, tuple[int, dict[str, tuple[int, int]]]] = {}

_from_source = SourceFileLoader.get_code


def _read(archive: str, offset: int, length: int) -> bytes:
    """A part of a file, which does not stay open: programs fork, and close what they find open."""
    descriptor = posix.open(archive, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.pread(descriptor, length, offset)
    finally:
        posix.close(descriptor)


def _index(folder: str) -> tuple[int, dict[str, tuple[int, int]]]:
    """Where each module of a folder is in its archive; none without an archive for this Python."""
    try:
        archive = f"{folder}.bytecode"
        start = len(MAGIC_NUMBER) + _SIZE_BYTES
        head = _read(archive, 0, start)
        if head.startswith(MAGIC_NUMBER):
            size = int.from_bytes(head[len(MAGIC_NUMBER) :], "little")
            return start + size, marshal.loads(_read(archive, start, size))
    except (OSError, EOFError, ValueError, TypeError):
        pass
    return 0, {}


def _from_archive(path: str) -> CodeType | None:
    """The code of a source file, if an archive has it."""
    before, separator, module = path.partition(f"{_FOLDER}/")
    if not separator:
        return None
    folder = before + _FOLDER
    if folder not in _indexes:
        _indexes[folder] = _index(folder)
    start, places = _indexes[folder]
    if module not in places:
        return None
    offset, length = places[module]
    try:
        code: CodeType = marshal.loads(_read(f"{folder}.bytecode", start + offset, length))
    except (OSError, EOFError, ValueError, TypeError):
        return None
    _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
    return code


def _get_code(self: SourceLoader, fullname: str) -> CodeType | None:
    # A subclass may compile in a way of its own.
    if type(self) is SourceFileLoader and (code := _from_archive(str(self.path))):
        return code
    return _from_source(self, fullname)


# Archives have the assertions that -O leaves out.
if not sys.flags.optimize:
    SourceFileLoader.get_code = _get_code  # type: ignore[method-assign]
