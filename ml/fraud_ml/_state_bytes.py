"""A feature state as bytes: JSON and numbers, nothing that can run, with a checksum before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fraud_ml._key_histories import KeyHistories
from fraud_ml._label_index import BLOCK, LabelIndex, Places
from fraud_ml.errors import DataError

FORMAT_VERSION = 5
_MAGIC = b"fraud-ml feature state\n"
_DIGEST = hashlib.sha256().digest_size
_LENGTH = 8
_NUMBER = np.dtype("<i8")
_REAL = np.dtype("<f8")

Ints = npt.NDArray[np.int64]


def dump(header: dict[str, Any], arrays: list[Ints]) -> bytes:
    """``header``, which must be JSON, and ``arrays``, for :func:`load`.

    Raises:
        DataError: a value in ``header`` is none that JSON knows.
    """
    sizes = [len(numbers) for numbers in arrays]
    frame = {"version": FORMAT_VERSION, "sizes": sizes, "header": header}
    try:
        text = json.dumps(frame, separators=(",", ":")).encode()
    except TypeError as error:
        raise DataError(
            f"keys and ids must be text or whole numbers to be saved: {error}"
        ) from error
    length = len(text).to_bytes(_LENGTH, "little")
    body = b"".join([length, text, *(numbers.astype(_NUMBER).tobytes() for numbers in arrays)])
    return _MAGIC + hashlib.sha256(body).digest() + body


def load(content: bytes) -> tuple[dict[str, Any], Iterator[Ints]]:
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
    return frame["header"], _arrays(frame["sizes"], body[end:])


def _arrays(sizes: list[int], body: memoryview) -> Iterator[Ints]:
    start = 0
    for size in sizes:
        yield np.frombuffer(body, _NUMBER, size, start).astype(np.int64)
        start += size * _NUMBER.itemsize


def header_of_keys(kind: KeyHistories) -> dict[str, Any]:
    """What goes into JSON of the histories of a key, beside their arrays."""
    values = [[list(distinct.last) for distinct in key] for key in kind.distinct]
    return {"names": list(kind.number_of), "distinct": values}


def load_keys(kind: KeyHistories, header: dict[str, Any], arrays: Iterator[Ints]) -> None:
    """Fills ``kind``, which has seen nothing yet, with what was saved."""
    kind.fill([_hashable(name) for name in header["names"]], header["distinct"], arrays)


def header_of_labels(index: LabelIndex) -> dict[str, Any]:
    """What goes into JSON of ``index``, beside its arrays."""
    return {
        "span": index.span,
        "ids": index.ids,
        "said": [[transaction, *said] for transaction, said in index.said.items()],
        "blocks": [[median, BLOCK] for median in index.medians],
        "open_times": index.open_times,
    }


def arrays_of_labels(index: LabelIndex) -> Iterator[Ints]:
    """Where the transactions of ``index`` counted: key and instant, for one kind after the other.

    Then what leaves them out, and their amounts, each the bits of a real number.
    """
    places = index.places()
    for keys, instants in zip(places.keys, places.instants, strict=True):
        yield from (keys, instants)
    if len(places.keys):
        yield from (places.left_out, places.amounts.astype(_REAL).view(_NUMBER))


def load_labels(header: dict[str, Any], arrays: Iterator[Ints], n_kinds: int) -> LabelIndex:
    """The index that was saved.

    Args:
        header: see :func:`header_of_labels`.
        arrays: see :func:`arrays_of_labels`.
        n_kinds: of key, that look at labels.
    """
    index = LabelIndex(header["span"], n_kinds)
    places = Places.room_for(n_kinds, len(header["ids"]))
    for kind in range(n_kinds):
        places.keys[kind], places.instants[kind] = next(arrays), next(arrays)
    if n_kinds:
        places.left_out[:], places.amounts[:] = next(arrays), next(arrays).view(np.float64)
    medians = [median for median, _ in header["blocks"]]
    index.restore(header["ids"], medians, header["open_times"], places)
    index.said = {transaction: tuple(said) for transaction, *said in header["said"]}
    return index


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
