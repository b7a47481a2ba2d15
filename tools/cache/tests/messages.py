"""Results of actions as Bazel writes them, by hand: the code under test must not check itself."""

from __future__ import annotations

import hashlib


def result(*outputs: bytes, folder: bytes | None = None, stdout: bytes = b"") -> bytes:
    """An `ActionResult` with these files, a folder with that `Tree`, and what was printed."""
    message = b"".join(
        _field(2, _field(1, b"out/%d" % number) + _field(2, digest(content)))
        for number, content in enumerate(outputs)
    )
    if folder is not None:
        message += _field(3, _field(1, b"out/folder") + _field(3, digest(folder)))
    if stdout:
        message += _field(6, digest(stdout))
    # What happened when it ran, which nobody but people reads.
    return message + _field(9, _field(1, b"worker"))


def tree(root: list[bytes], *children: list[bytes]) -> bytes:
    """A `Tree` of files with these contents."""
    return _field(1, _directory(root)) + b"".join(_field(2, _directory(it)) for it in children)


def digest(content: bytes) -> bytes:
    """The `Digest` of a blob."""
    name = hashlib.sha256(content).hexdigest().encode()
    return _field(1, name) + b"\x10" + _varint(len(content))


def _directory(files: list[bytes]) -> bytes:
    return b"".join(
        _field(1, _field(1, b"file%d" % number) + _field(2, digest(content)))
        for number, content in enumerate(files)
    )


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
