"""Hashes of keys, by which rows are spread: of 64 bits, the same in every process and machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_WORD = 8  # bytes of a text that are mixed in at once


def is_hashable(kind: pa.DataType) -> bool:
    """Whether a column of that type may be a key: text, whole numbers, or true and false."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind) or pa.types.is_boolean(kind) or _is_text(kind)
    ) or pa.types.is_null(kind)


def hashes(column: pa.ChunkedArray, *, seed: int = 0) -> Hashes:
    """A hash of each value, that of a null being any: shape ``(N,)``.

    Whole numbers of whatever width have different hashes, equal ones the same. Two texts have the
    same with a probability of 2**-64; where that is not rare enough, another ``seed`` gives another
    64 bits.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    start = np.uint64(seed)
    if _is_text(column.type):
        return _of_texts(column.cast(pa.string()).combine_chunks(), start)
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.uint64)
    numbers = column.cast(pa.int64(), safe=False)
    if numbers.null_count:
        numbers = pc.fill_null(numbers, 0)
    numbers = numbers.to_numpy()
    return _mixed(numbers.view(np.uint64) ^ start)


def key_hashes(rows: pa.Table, names: Sequence[str]) -> tuple[Hashes, Bools]:
    """Of each row the hash of its key, and whether it has one: shape ``(N,)`` each.

    Args:
        rows: the rows.
        names: of the key's columns, one or more; where one is null there is no key.
    """
    first, *others = names
    found = hashes(rows.column(first))
    is_there = _is_valid(rows.column(first))
    for name in others:
        found = _mixed(found + np.uint64(1)) ^ hashes(rows.column(name))
        is_there &= _is_valid(rows.column(name))
    return found, is_there


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_valid(column: pa.ChunkedArray) -> Bools:
    if not column.null_count:
        return np.ones(len(column), dtype=bool)
    there: Bools = column.is_valid().to_numpy()
    return there


def _mixed(values: Hashes) -> Hashes:
    """Of each number another, whose every bit depends on all: the step of SplitMix64 (Steele 2014).

    Different numbers give different ones.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _of_texts(texts: pa.StringArray, start: np.uint64) -> Hashes:
    """Each text's length, and then its bytes, eight at a time, of all texts that have so many."""
    _, offsets, content = texts.buffers()
    if not len(texts):
        return np.empty(0, dtype=np.uint64)
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    ends = ends.astype(np.int64)
    first, last = int(ends[0]), int(ends[-1])
    padded = np.zeros(last - first + _WORD, dtype=np.uint8)
    if last > first:
        padded[: last - first] = np.frombuffer(content, np.uint8)[first:last]
    words: npt.NDArray[np.uint64] = np.ndarray(
        last - first + 1, np.dtype("<u8"), padded.data, strides=(1,)
    )
    position, left = ends[:-1] - first, np.diff(ends)
    found = _mixed(left.astype(np.uint64) ^ _mixed(np.full(1, start, np.uint64)))
    rows = np.flatnonzero(left)
    while len(rows):
        word, remaining = words[position[rows]], left[rows]
        beyond = 8 * np.maximum(_WORD - remaining, 0).astype(np.uint64)  # bits of the next text
        word = (word << beyond) >> beyond
        found[rows] = _mixed(found[rows] ^ word)
        position, left = position + _WORD, left - _WORD
        rows = rows[left[rows] > 0]
    return found
