"""Short queues of records, any number of them, side by side in one block of memory.

Each key of the running state has a few. A record is some numbers of 64 bits; records of a queue
are numbered 0, 1, ... for ever, and the oldest can be dropped. A queue takes a power of two of
records in the pool and goes round in it; when it is full, it moves to a place of twice the size,
and the place that it leaves is the next one's of another key that needs such a one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fraud_ml._compiled import compiled
from fraud_ml._memory import borrowed, prefetch

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_AT, _SIZE, FIRST, _NEXT = range(4)  # place in the pool, records that fit, their numbers
_SMALLEST = 2
_SIZES = 64  # of places, each twice the one before
LINE = 8  # numbers that come from memory together


class Rings(NamedTuple):
    """The queues of many keys: those of key ``k`` are rows of ``ring[k]``."""

    pool: Ints
    """All records: shape ``(P,)``."""
    reals: Floats
    """The same memory, for records that hold real numbers."""
    used: Ints
    """How much of it was ever taken: shape ``(1,)``."""
    left: Ints
    """Of each queue and size (2 to the power of) one more than a place in the pool that was left, 0
    if there is none; the place holds the same of the next one: shape ``(R, 64)``."""
    ring: Ints
    """Where each queue is: shape ``(K, R, 4)``."""
    width: Ints
    """How many numbers a record has: shape ``(R,)``."""


def empty_rings(n_keys: int, width: Ints, room: int) -> Rings:
    """``n_keys`` times ``len(width)`` empty queues, and ``room`` for records."""
    pool = np.zeros(room, dtype=np.int64)
    return Rings(
        pool=pool,
        reals=pool.view(np.float64),
        used=np.zeros(1, dtype=np.int64),
        left=np.zeros((len(width), _SIZES), dtype=np.int64),
        ring=np.zeros((n_keys, len(width), 4), dtype=np.int64),
        width=width,
    )


@compiled
def borrowed_rings(rings: Rings) -> Rings:
    """The same queues, as :func:`borrowed`."""
    return Rings(
        borrowed(rings.pool),
        borrowed(rings.reals),
        borrowed(rings.used),
        borrowed(rings.left),
        borrowed(rings.ring),
        borrowed(rings.width),
    )


@compiled
def has_room(rings: Rings, key: int) -> bool:
    """Whether each queue of ``key`` can take as many more records as its longest has, and one."""
    return bool(rings.used[0] + room_for(rings, key) <= len(rings.pool))


@compiled
def room_for(rings: Rings, key: int) -> int:
    """How many numbers of the pool that may take."""
    longest = 1
    for number in range(len(rings.width)):
        longest = max(longest, rings.ring[key, number, _SIZE])
    room = 0
    for number in range(len(rings.width)):
        # It may double again and again; all its places together are less than twice the last.
        room += 4 * (rings.ring[key, number, _SIZE] + longest) * rings.width[number]
    return room


@compiled
def first(rings: Rings, key: int, number: int) -> int:
    """The number of the oldest record of a queue."""
    return int(rings.ring[key, number, FIRST])


@compiled
def end(rings: Rings, key: int, number: int) -> int:
    """The number that the next record will have."""
    return int(rings.ring[key, number, _NEXT])


@compiled
def at(rings: Rings, key: int, number: int, record: int) -> int:
    """Where in the pool a record starts."""
    ring = rings.ring[key, number]
    return int(ring[_AT] + (record & (ring[_SIZE] - 1)) * rings.width[number])


@compiled
def push(rings: Rings, key: int, number: int) -> int:
    """Add a record to a queue that has room; where in the pool, to be filled in."""
    ring, width = rings.ring[key, number], rings.width[number]
    if ring[_NEXT] - ring[FIRST] == ring[_SIZE]:
        before, size = ring[_AT], ring[_SIZE]
        ring[_SIZE] = max(2 * size, _SMALLEST)
        ring[_AT] = _take(rings, number, ring[_SIZE])
        for record in range(ring[FIRST], ring[_NEXT]):
            old, new = before + (record & (size - 1)) * width, at(rings, key, number, record)
            for column in range(width):
                rings.pool[new + column] = rings.pool[old + column]
        if size:
            _leave(rings, number, before, size)
    ring[_NEXT] += 1
    return at(rings, key, number, ring[_NEXT] - 1)


@compiled
def _take(rings: Rings, number: int, size: int) -> int:
    """A place for ``size`` records: one that was left, if there is any."""
    left, exponent = rings.left[number], _exponent(size)
    if left[exponent]:
        place = left[exponent] - 1
        left[exponent] = rings.pool[place]
    else:
        place = rings.used[0]
        rings.used[0] += size * rings.width[number]
    return int(place)


@compiled
def _leave(rings: Rings, number: int, place: int, size: int) -> None:
    left, exponent = rings.left[number], _exponent(size)
    rings.pool[place] = left[exponent]
    left[exponent] = place + 1


@compiled
def _exponent(size: int) -> int:
    exponent = 0
    while 1 << exponent < size:
        exponent += 1
    return exponent


@compiled
def pop(rings: Rings, key: int, number: int) -> None:
    """Take away the newest record."""
    rings.ring[key, number, _NEXT] -= 1


@compiled
def drop_before(rings: Rings, key: int, number: int, record: int) -> None:
    """Take away all records older than that of number ``record``."""
    ring = rings.ring[key, number]
    ring[FIRST] = max(ring[FIRST], min(record, ring[_NEXT]))


@compiled
def insert(rings: Rings, key: int, number: int, record: int) -> int:
    """Like :func:`push`, but make it number ``record``, and those from there on one higher."""
    push(rings, key, number)
    width = rings.width[number]
    for later in range(end(rings, key, number) - 1, record, -1):
        source, target = at(rings, key, number, later - 1), at(rings, key, number, later)
        for column in range(width):
            rings.pool[target + column] = rings.pool[source + column]
    return at(rings, key, number, record)


@compiled
def remove(rings: Rings, key: int, number: int, record: int) -> None:
    """Take away the record of number ``record``; those after it get one lower."""
    width = rings.width[number]
    for earlier in range(record, end(rings, key, number) - 1):
        source, target = at(rings, key, number, earlier + 1), at(rings, key, number, earlier)
        for column in range(width):
            rings.pool[target + column] = rings.pool[source + column]
    pop(rings, key, number)


@compiled
def after(rings: Rings, key: int, number: int, value: int) -> int:
    """The number of the first record that starts with more than ``value``; they ascend."""
    low, high = first(rings, key, number), end(rings, key, number)
    while low < high:
        middle = (low + high) // 2
        if rings.pool[at(rings, key, number, middle)] > value:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def fetch_queues(rings: Rings, key: int) -> None:
    """Have where the queues of ``key`` are at hand soon."""
    n_numbers = rings.ring.shape[1] * rings.ring.shape[2]
    for start in range(key * n_numbers, (key + 1) * n_numbers, LINE):
        prefetch(rings.ring, start)


@compiled
def fetch_record(rings: Rings, key: int, number: int, record: int) -> None:
    """Have a record at hand soon, whether or not there is one."""
    start = at(rings, key, number, record)
    prefetch(rings.pool, start)
    prefetch(rings.pool, start + rings.width[number] - 1)


@compiled
def unroll(rings: Rings, number: int, keys: Ints) -> tuple[Ints, Ints]:
    """The lengths of a queue of each of ``keys``, and all their records, end to end."""
    width = rings.width[number]
    lengths = np.empty(len(keys), dtype=np.int64)
    for row, key in enumerate(keys):
        lengths[row] = end(rings, key, number) - first(rings, key, number)
    records = np.empty(lengths.sum() * width, dtype=np.int64)
    to = 0
    for key in keys:
        for record in range(first(rings, key, number), end(rings, key, number)):
            source = at(rings, key, number, record)
            for column in range(width):
                records[to] = rings.pool[source + column]
                to += 1
    return lengths, records


def rolled(queues: list[tuple[Ints, Ints]], width: Ints, *, n_keys: int, room: int) -> Rings:
    """Queues of keys 0, 1, ... with what :func:`unroll` returned of each, numbered from 0 on.

    Args:
        queues: lengths and records, queue by queue.
        width: how many numbers a record of each has.
        n_keys: for how many keys there shall be queues; those without records are empty.
        room: numbers that fit in the pool beside the records.
    """
    sizes = [
        np.where(lengths > 0, 2 ** np.ceil(np.log2(lengths.clip(_SMALLEST))), 0).astype(np.int64)
        for lengths, _ in queues
    ]
    taken = sum(int(size.sum()) * int(w) for size, w in zip(sizes, width, strict=True))
    rings = empty_rings(n_keys, width, taken + room)
    for number, (size, (lengths, records)) in enumerate(zip(sizes, queues, strict=True)):
        _roll(rings, number, size, lengths, records)
    return rings


@compiled
def _roll(rings: Rings, number: int, sizes: Ints, lengths: Ints, records: Ints) -> None:
    width = rings.width[number]
    source = 0
    for key, length in enumerate(lengths):
        ring = rings.ring[key, number]
        ring[_AT], ring[_SIZE], ring[_NEXT] = rings.used[0], sizes[key], length
        for column in range(length * width):
            rings.pool[rings.used[0] + column] = records[source + column]
        source += length * width
        rings.used[0] += sizes[key] * width
