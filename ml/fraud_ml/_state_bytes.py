"""A feature state as bytes: JSON and numbers, nothing that can run, with a checksum before it."""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from fraud_ml._key_state import Kept, KeyState
from fraud_ml._label_index import LabelIndex
from fraud_ml.errors import DataError

FORMAT_VERSION = 2
_MAGIC = b"fraud-ml feature state\n"
_DIGEST = hashlib.sha256().digest_size
_LENGTH = 8

Numbers: TypeAlias = "array[Any]"


def dump(header: dict[str, Any], arrays: Iterable[Numbers]) -> bytes:
    """``header``, which must be JSON, and ``arrays``, for :func:`load`.

    Raises:
        DataError: a value in ``header`` is none that JSON knows.
    """
    arrays = list(arrays)
    sizes = [[numbers.typecode, len(numbers)] for numbers in arrays]
    frame = {"version": FORMAT_VERSION, "order": sys.byteorder, "arrays": sizes, "header": header}
    try:
        text = json.dumps(frame, separators=(",", ":")).encode()
    except TypeError as error:
        raise DataError(
            f"keys and ids must be text or whole numbers to be saved: {error}"
        ) from error
    length = len(text).to_bytes(_LENGTH, "little")
    body = b"".join([length, text, *(numbers.tobytes() for numbers in arrays)])
    return _MAGIC + hashlib.sha256(body).digest() + body


def load(content: bytes) -> tuple[dict[str, Any], Iterator[Numbers]]:
    """What :func:`dump` was given.

    Raises:
        DataError: ``content`` is no feature state, damaged, or another version's.
    """
    digest, body = content[len(_MAGIC) :][:_DIGEST], memoryview(content)[len(_MAGIC) + _DIGEST :]
    if not content.startswith(_MAGIC) or len(digest) < _DIGEST:
        raise DataError("these bytes are no feature state; rebuild it from history")
    if hashlib.sha256(body).digest() != digest:
        raise DataError(
            "this feature state is damaged: its checksum is another; take a copy of it, or rebuild"
            " it from history"
        )
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
    frame = json.loads(bytes(body[_LENGTH:end]))
    if frame["version"] != FORMAT_VERSION:
        raise DataError(
            f"a feature state of version {frame['version']!r}, this release reads"
            f" {FORMAT_VERSION}; rebuild it from history"
        )
    return frame["header"], _arrays(frame, body[end:])


def _arrays(frame: dict[str, Any], body: memoryview) -> Iterator[Numbers]:
    for typecode, size in frame["arrays"]:
        numbers = array(typecode)
        n_bytes = size * numbers.itemsize
        numbers.frombytes(body[:n_bytes])
        body = body[n_bytes:]
        if frame["order"] != sys.byteorder:
            numbers.byteswap()
        yield numbers


def dump_keys(keys: dict[Any, KeyState]) -> tuple[dict[str, Any], list[Numbers]]:
    """The histories of ``keys``, for :func:`load_keys`: what goes into JSON, and into arrays."""
    arrays: list[Numbers] = []
    for parts in zip(*(key.parts() for key in keys.values()), strict=True):
        arrays.append(array("q", map(len, parts)))
        joined: Numbers = array(parts[0].typecode)
        joined.frombytes(b"".join(parts))
        arrays.append(joined)
    values = [[list(distinct.last) for distinct in key.distinct] for key in keys.values()]
    return {"names": list(keys), "distinct": values, "n_arrays": len(arrays)}, arrays


def load_keys(header: dict[str, Any], arrays: Iterator[Numbers], kept: Kept) -> dict[Any, KeyState]:
    """What :func:`dump_keys` was given."""
    columns = [
        _cut(lengths=next(arrays), joined=next(arrays)) for _ in range(header["n_arrays"] // 2)
    ]
    return {
        _hashable(name): KeyState.restored(kept, values, iter(parts))
        for name, values, parts in zip(
            header["names"], header["distinct"], zip(*columns, strict=True), strict=True
        )
    }


def dump_index(
    index: LabelIndex, kinds: list[dict[Any, KeyState]]
) -> tuple[dict[str, Any], list[Numbers]]:
    """``index``, for :func:`load_index`: what goes into JSON, and into arrays."""
    arrays: list[Numbers] = []
    for kind, keys in enumerate(kinds):
        number = {name: at for at, name in enumerate(keys)}
        places = index.places.values()
        arrays.append(array("q", (number.get(place[2 * kind], -1) for place in places)))
        arrays.append(array("q", (place[2 * kind + 1] for place in places)))
    header = {
        "span": index.span,
        "ids": list(index.places),
        "said": [[transaction, *said] for transaction, said in index.said.items()],
        "blocks": [[median, len(ids)] for median, ids in index.blocks],
        "open_times": index.open_times,
    }
    return header, arrays


def load_index(
    header: dict[str, Any], arrays: Iterator[Numbers], kinds: list[dict[Any, KeyState]]
) -> LabelIndex:
    """What :func:`dump_index` was given."""
    index = LabelIndex(header["span"])
    columns: list[list[Any]] = []
    for keys in kinds:
        names = [*keys, None]  # the last, -1, is a key that is forgotten
        columns += [[names[at] for at in next(arrays)], next(arrays).tolist()]
    ids = header["ids"]
    index.places = dict(zip(ids, zip(*columns, strict=True), strict=True))
    index.said = {transaction: tuple(said) for transaction, *said in header["said"]}
    start = 0
    for median, size in header["blocks"]:
        index.blocks.append((median, ids[start : start + size]))
        start += size
    index.open_ids, index.open_times = ids[start:], header["open_times"]
    return index


def _cut(*, lengths: Numbers, joined: Numbers) -> Iterator[Numbers]:
    start = 0
    for length in lengths:
        yield joined[start : start + int(length)]
        start += int(length)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
