"""What an entry of the action cache names: the blobs without which it is worth nothing.

Bazel stores the result of an action as an `ActionResult` of its Remote Execution API, which names
each output by its digest. The few messages and fields that name digests are declared here, for
no package carries the API's own; protobuf skips what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

# build/bazel/remote/execution/v2/remote_execution.proto: message, then field, number, type;
# a star for a field that repeats.
_API = {
    "Digest": (("hash", 1, "string"), ("size_bytes", 2, "int64")),
    "OutputFile": (("digest", 2, "Digest"),),
    "OutputDirectory": (("tree_digest", 3, "Digest"), ("root_directory_digest", 5, "Digest")),
    "ActionResult": (
        ("output_files", 2, "OutputFile*"),
        ("output_directories", 3, "OutputDirectory*"),
        ("stdout_digest", 6, "Digest"),
        ("stderr_digest", 8, "Digest"),
    ),
    "FileNode": (("digest", 2, "Digest"),),
    "Directory": (("files", 1, "FileNode*"),),
    "Tree": (("root", 1, "Directory"), ("children", 2, "Directory*")),
}


class UnreadableError(ValueError):
    """Not what Bazel writes there."""


def references(entry: bytes, read: Callable[[str], bytes | None]) -> Iterator[str]:
    """The SHA-256 of each blob that an action's result needs, hexadecimal; none that is empty.

    Args:
        entry: an `ActionResult`.
        read: the bytes of the blob with that digest, None where there is none. Asked for the list
            of a folder's files, and only after that list's own digest was given out.

    Raises:
        UnreadableError: `entry`, or the list of a folder's files, is no such message.
    """
    result = _parsed("ActionResult", entry)
    for output in result.output_files:
        yield from _named(output.digest)
    yield from _named(result.stdout_digest)
    yield from _named(result.stderr_digest)
    for folder in result.output_directories:
        yield from _named(folder.root_directory_digest)
        for digest in _named(folder.tree_digest):
            yield digest
            yield from _files(read(digest))


def check(entry: bytes) -> None:
    """Raises `UnreadableError` where `entry` is no `ActionResult`."""
    _parsed("ActionResult", entry)


def _files(tree: bytes | None) -> Iterator[str]:
    """The digests of the files of a folder and all below it."""
    if tree is None:
        return
    listed = _parsed("Tree", tree)
    for directory in (listed.root, *listed.children):
        for file in directory.files:
            yield from _named(file.digest)


def _named(digest: Any) -> Iterator[str]:
    # The empty blob is known to everyone and never asked for.
    if digest.size_bytes:
        yield digest.hash


def _parsed(name: str, content: bytes) -> Any:
    try:
        return _MESSAGES[name].FromString(content)
    except DecodeError as error:
        raise UnreadableError(f"this is no {name}: {error}") from error


def _message_classes() -> dict[str, Any]:
    file = FileDescriptorProto(name="remote_execution.proto", package="re", syntax="proto3")
    for name, fields in _API.items():
        message = DescriptorProto(name=name)
        for field, number, kind in fields:
            message.field.append(_field(field, number, kind))
        file.message_type.append(message)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"re.{name}")) for name in _API}


def _field(name: str, number: int, kind: str) -> FieldDescriptorProto:
    field = FieldDescriptorProto(name=name, number=number)
    repeated = kind.endswith("*")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    if kind in ("string", "int64"):
        field.type = field.TYPE_STRING if kind == "string" else field.TYPE_INT64
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".re.{kind}"
    return field


_MESSAGES = _message_classes()
