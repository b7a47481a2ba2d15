"""What an ELF file (Linux on a 64-bit little-endian machine) needs, and where it looks for it.

Layout and tags: System V ABI, "Program Loading and Dynamic Linking"; GNU's versions: the Linux
Standard Base, "Symbol Versioning".
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x7fELF\x02\x01"
LOAD, DYNAMIC, INTERPRETER, NOTE = 1, 2, 3, 4
END, NEEDED, STRING_TABLE, STRING_SIZE, RPATH, RUNPATH = 0, 1, 5, 10, 15, 29
BUILD_ID = 3
PROCESSORS = {62: "x86_64", 183: "aarch64"}

_VERSION = re.compile(rb"\0(GLIBC|GLIBCXX)_(\d+(?:\.\d+)+)(?=\0)")


Data = bytes | bytearray | mmap.mmap


class ElfError(Exception):
    """A file cannot be changed as asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header."""

    kind: int
    """LOAD, DYNAMIC, INTERPRETER, NOTE or another number."""
    offset: int
    """Where it starts in the file, in bytes."""
    address: int
    """Where it starts in memory."""
    size: int
    """How many bytes of the file it is."""


def is_elf(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a program or a shared library."""
    return head.startswith(MAGIC)


def processor(data: Data) -> str:
    """The family of processors that the file is for, as Linux calls it.

    Raises:
        ElfError: it is neither of those that are known here.
    """
    (number,) = struct.unpack_from("<H", data, 18)
    if number not in PROCESSORS:
        raise ElfError(f"it is for a processor of another family ({number})")
    return PROCESSORS[number]


def segments(data: Data) -> list[Segment]:
    """The program headers of a file."""
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    found = []
    for index in range(count):
        kind, _, offset, address, _, in_file = struct.unpack_from(
            "<IIQQQQ", data, start + index * size
        )
        found.append(Segment(kind, offset, address, in_file))
    return found


def is_program(data: Data) -> bool:
    """Whether the file is started by itself: it names the loader that does it."""
    return any(segment.kind == INTERPRETER for segment in segments(data))


def _entries(data: Data) -> Iterator[tuple[int, int, int]]:
    """Where each entry of the dynamic section is, its tag and value; spare ones at its end too."""
    for segment in segments(data):
        if segment.kind == DYNAMIC:
            for at in range(segment.offset, segment.offset + segment.size, 16):
                yield at, *struct.unpack_from("<QQ", data, at)


def _file_offset(data: Data, address: int) -> int:
    for segment in segments(data):
        if segment.kind == LOAD and 0 <= address - segment.address < segment.size:
            return segment.offset + address - segment.address
    raise ElfError(f"no segment holds the address {address:#x}")


def _strings(data: Data) -> int:
    """Where the names that the dynamic section refers to start in the file."""
    for _, tag, value in _entries(data):
        if tag == STRING_TABLE:
            return _file_offset(data, value)
    raise ElfError("it is linked statically")


def _text(data: Data, at: int) -> str:
    return bytes(data[at : data.find(b"\0", at)]).decode()


def needed(data: Data) -> list[str]:
    """The names of the libraries that the file is linked with, in its order."""
    return [
        _text(data, _strings(data) + value) for _, tag, value in _entries(data) if tag == NEEDED
    ]


def search_path(data: Data) -> tuple[int, str] | None:
    """RPATH or RUNPATH with the folders that the file names, or None where it names none."""
    for _, tag, value in _entries(data):
        if tag in (RPATH, RUNPATH):
            return tag, _text(data, (_strings(data) + value) % 2**64)
    return None


def versions(data: Data) -> dict[str, tuple[int, ...]]:
    """The newest version of `GLIBC` and of `GLIBCXX` (libstdc++) that the file asks for."""
    names = {tag: value for _, tag, value in reversed(list(_entries(data)))}
    if STRING_TABLE not in names:
        return {}
    start = _strings(data)
    table = b"\0" + bytes(data[start : start + names[STRING_SIZE]])
    newest: dict[str, tuple[int, ...]] = {}
    for name, version in _VERSION.findall(table):
        numbers = tuple(int(number) for number in version.split(b"."))
        newest[name.decode()] = max(numbers, newest.get(name.decode(), ()))
    return newest


def without_search_path(data: Data) -> bytes:
    """The same file, which looks for its libraries where the program that loads it says."""
    changed = bytearray(data)
    entries = list(_entries(data))
    kept = [entry for entry in entries if entry[1] not in (RPATH, RUNPATH)]
    for (at, _, _), (_, tag, value) in zip(entries, kept, strict=False):
        struct.pack_into("<QQ", changed, at, tag, value)
    for at, _, _ in entries[len(kept) :]:
        struct.pack_into("<QQ", changed, at, END, 0)
    return bytes(changed)


def with_search_path(data: Data, folder: str) -> bytes:
    """The same program, which looks for libraries in `folder` first.

    RPATH and not RUNPATH: only that is also asked for what the libraries load in turn. No byte
    moves. The folder's name takes the place of the one that the program was linked with, or else
    of its build id, which names a file that this no longer is.

    Raises:
        ElfError: there is no place for the name, or none for the entry.
    """
    name = folder.encode() + b"\0"
    place, size = _place_for(data, len(name))
    changed = bytearray(without_search_path(data))
    changed[place : place + size] = name.ljust(size, b"\0")

    entries = list(_entries(changed))
    ends = [at for at, tag, _ in entries if tag == END]
    if len(ends) < 2:
        raise ElfError("its dynamic section has no spare entry")
    start = _strings(data)
    # Relative to the names, in the loader's arithmetic: the build id lies before them.
    struct.pack_into("<QQ", changed, ends[0], RPATH, (place - start) % 2**64)
    return bytes(changed)


def _place_for(data: Data, length: int) -> tuple[int, int]:
    """Where in the file a name of so many bytes may be written, and the size of that place."""
    for _, tag, value in _entries(data):
        if tag in (RPATH, RUNPATH):
            at = (_strings(data) + value) % 2**64
            size = data.find(b"\0", at) + 1 - at
            if size >= length:
                return at, size
    for segment in segments(data):
        if segment.kind == NOTE:
            for kind, at, size in _notes(data, segment):
                if kind == BUILD_ID and size >= length:
                    return at, size
    raise ElfError("it was linked without --enable-shared and without a build id")


def _notes(data: Data, segment: Segment) -> Iterator[tuple[int, int, int]]:
    """The kind of each note, where its content starts in the file, and its size in bytes."""
    at, end = segment.offset, segment.offset + segment.size
    while at + 12 <= end:
        name_size, size, kind = struct.unpack_from("<III", data, at)
        content = at + 12 + (name_size + 3) // 4 * 4
        yield kind, content, size
        at = content + (size + 3) // 4 * 4
