"""Wheels with machine code: for which processor they are, and since which Linux."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tools.python_environment.elf import ElfError, is_elf, needed, processor, versions

PURE = "py3-none-any"
"""The tag of a wheel without machine code."""

# The oldest Linux for which there are wheels of both processors (PEP 599). What needs no library,
# not even C's, runs there; ctypes loads it, so that it is for all versions of Python.
_LINUX = "py3-none-manylinux_2_17"


class MachineCodeError(Exception):
    """On which machines the files run cannot be told; the message says why."""


def tag_of(files: Mapping[str, bytes]) -> str:
    """The tag of a wheel with these files.

    Raises:
        MachineCodeError: there is machine code of several processors, or it needs a library: which
            ones a machine has, and of which version, no tag of ours tells.
    """
    found = set()
    for name, content in files.items():
        if not is_elf(content):
            continue
        try:
            found.add(processor(content))
            libraries = [*needed(content), *versions(content)]
        except ElfError as error:
            raise MachineCodeError(f"{name}: {error}") from error
        if libraries:
            raise MachineCodeError(f"{name} needs {', '.join(libraries)}: it must need no library")
    if len(found) > 1:
        raise MachineCodeError(f"there is machine code of {' and '.join(sorted(found))}")
    return f"{_LINUX}_{found.pop()}" if found else PURE


def retagged(wheel: Path, tag: str) -> Path:
    """The wheel that flit_core made, which tags all as pure Python, under its own tag.

    What becomes another one: the name, what the file `WHEEL` says, and the checksum of that.

    Raises:
        MachineCodeError: flit_core writes them in another form than is known here.
    """
    renamed = wheel.with_name(wheel.name.replace(PURE, tag))
    with zipfile.ZipFile(wheel) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    (about,) = (entry.filename for entry, _ in entries if entry.filename.endswith("-info/WHEEL"))
    old = next(content for entry, content in entries if entry.filename == about)
    new = _once(old, f"Tag: {PURE}\n", f"Tag: {tag}\n")
    new = _once(new, "Root-Is-Purelib: true\n", "Root-Is-Purelib: false\n")
    with zipfile.ZipFile(renamed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            written = content
            if entry.filename == about:
                written = new
            elif entry.filename.endswith("-info/RECORD"):
                written = _once(content, _recorded(about, old), _recorded(about, new))
            archive.writestr(entry, written)
    wheel.unlink()
    return renamed


def _recorded(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}"


def _once(content: bytes, old: str, new: str) -> bytes:
    before, found, after = content.partition(old.encode())
    if not found:
        raise MachineCodeError(f"flit_core writes no {old.strip()!r} any more")
    return before + new.encode() + after
