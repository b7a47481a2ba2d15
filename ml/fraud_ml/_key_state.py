"""The running histories of the values of a key: an entry for each instant at which one was seen.

An entry is a few numbers side by side, because what lies together comes from memory together:
its instant, and running sums up to and with it. Sums are of whole numbers, so that the difference
of two entries is the exact sum over what lies between. The first entry has left every window, and
only serves to be subtracted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fraud_ml import _rings, _running_max, _usual
from fraud_ml._compiled import compiled
from fraud_ml._exact import limbs_of, ratio, square_limbs_of
from fraud_ml._memory import borrowed, prefetch
from fraud_ml._rings import Rings, at, end, first

Ints = npt.NDArray[np.int64]

ENTRIES = 0  # the number of the first queue; the others are there where a feature needs them
COUNT = 1  # where an entry has the running count; its instant is at 0
AMOUNTS = 2  # where it has three running sums of amounts, if any
SQUARES = 5  # where it has four of squares, if any
_BEFORE_ALL = -(2**62)


class Kept(NamedTuple):
    """What the features of a key need to know of each of its values; times in instants."""

    ages: Ints
    """How long ago windows start and end, ascending; at the last, all is over: shape ``(A,)``."""
    n_sums: int
    """Running sums an entry has beside its instant; the first is the count."""
    has_amounts: bool
    has_squares: bool
    has_unusual: bool
    """Whether the last sum is of unusual amounts."""
    usual_over: int
    """Amounts that the usual one is the median of."""
    unusual_ratio: float
    """An amount is unusual above so many times the usual."""
    has_z: bool
    arrival: int
    """Number of the queue with the last amounts by arrival; the next has them by size. -1 where
    no feature needs it; likewise:"""
    pending: int
    """from which instant on which instant has how many frauds more, what leaves them out, one bit
    each, and their amount,"""
    latest: int
    """instant and amount of the last transactions,"""
    n_latest: int
    """so many of them."""
    frauds: Ints
    """Of known frauds, but for those with a bit: the bit, the number of the queue with instants and
    how many frauds each has, and of that with the instants and amounts of each, and how many, or
    -1: shape ``(L, 3)``."""
    peaks: Ints
    """A running maximum each: its first queue, its delay, and whether it is of the amount's ratio
    to the usual: shape ``(P, 3)``."""

    @property
    def horizon(self) -> int:
        """How many instants ago a transaction leaves the last window."""
        return int(self.ages[-1])


class Histories(NamedTuple):
    """The running histories of many keys."""

    rings: Rings
    since: Ints
    """The instant of the first transaction of each key: shape ``(K,)``."""
    lasts: Ints
    """Of each key and age, the number of the newest entry at least so old: shape ``(K, A)``."""


class Newest(NamedTuple):
    """The transaction that was just counted in."""

    now: int
    """The instant at which it counts."""
    amount: float
    to_usual: float
    robust_z: float
    was_there: bool
    """Another one at its instant came before it."""
    since: int
    """When the first of its key counted."""


@compiled
def borrowed_histories(histories: Histories) -> Histories:
    """The same histories, as :func:`borrowed`."""
    return Histories(
        _rings.borrowed_rings(histories.rings),
        borrowed(histories.since),
        borrowed(histories.lasts),
    )


@compiled
def borrowed_kept(kept: Kept) -> Kept:
    """The same, as :func:`borrowed`."""
    return Kept(
        borrowed(kept.ages), kept.n_sums, kept.has_amounts, kept.has_squares, kept.has_unusual,
        kept.usual_over, kept.unusual_ratio, kept.has_z, kept.arrival, kept.pending,
        kept.latest, kept.n_latest, borrowed(kept.frauds), borrowed(kept.peaks),
    )  # fmt: skip


@compiled
def fetch_queues(histories: Histories, key: int) -> None:
    """Have what :func:`fetch_records` and :func:`count_in` begin with at hand soon."""
    _rings.fetch_queues(histories.rings, key)
    prefetch(histories.since, key)
    n_ages = histories.lasts.shape[1]
    for start in range(key * n_ages, (key + 1) * n_ages, _rings.LINE):
        prefetch(histories.lasts, start)


@compiled
def fetch_records(histories: Histories, key: int) -> None:
    """Have the records that features of ``key`` look at at hand soon."""
    rings = histories.rings
    for number in range(len(rings.width)):
        _rings.fetch_record(rings, key, number, end(rings, key, number) - 1)
        _rings.fetch_record(rings, key, number, first(rings, key, number))
    for age in range(histories.lasts.shape[1]):
        _rings.fetch_record(rings, key, ENTRIES, histories.lasts[key, age])


@compiled
def count_in(histories: Histories, kept: Kept, key: int, instant: int, amount: float) -> Newest:
    """Count in a transaction of ``key``, whose queues have room."""
    rings = histories.rings
    if end(rings, key, ENTRIES) == 0:
        histories.since[key] = instant
        start = _rings.push(rings, key, ENTRIES)
        rings.pool[start : start + 1 + kept.n_sums] = 0
        rings.pool[start] = _BEFORE_ALL
    entry = at(rings, key, ENTRIES, end(rings, key, ENTRIES) - 1)
    now = max(instant, rings.pool[entry])
    if kept.pending >= 0:
        learn(rings, kept, key, now)
    to_usual = robust_z = 0.0
    if kept.arrival >= 0:
        usual = _usual.median(rings, key, kept.arrival)
        to_usual = ratio(amount, usual)
        if kept.has_z:
            robust_z = _usual.robust_z(rings, key, kept.arrival, amount, usual)
        _usual.add(rings, key, kept.arrival, amount, kept.usual_over)
    was_there = now == rings.pool[entry]
    if not was_there:
        entry = _new_entry(histories, kept, key, now)
    _add_to(rings, kept, entry, amount, to_usual > kept.unusual_ratio)
    for number in range(len(kept.peaks)):
        queue, delay, is_ratio = kept.peaks[number]
        value = to_usual if is_ratio else amount
        _running_max.add(rings, key, queue, now, value, delay, kept.ages[-1])
    if kept.latest >= 0:
        place = _rings.push(rings, key, kept.latest)
        rings.pool[place] = now
        rings.reals[place + 1] = amount
        _rings.drop_before(rings, key, kept.latest, end(rings, key, kept.latest) - kept.n_latest)
    return Newest(now, amount, to_usual, robust_z, was_there, histories.since[key])


@compiled
def _new_entry(histories: Histories, kept: Kept, key: int, now: int) -> int:
    """Add an entry at ``now`` with the sums of the one before; where it starts."""
    rings, lasts = histories.rings, histories.lasts[key]
    entry = _rings.push(rings, key, ENTRIES)
    number = end(rings, key, ENTRIES) - 1
    before = at(rings, key, ENTRIES, number - 1)
    rings.pool[entry] = now
    for column in range(1, 1 + kept.n_sums):
        rings.pool[entry + column] = rings.pool[before + column]
    # Each entry is passed once by each age: quicker than to search where it ends now.
    for age in range(len(kept.ages)):
        limit = now - kept.ages[age]
        while rings.pool[at(rings, key, ENTRIES, lasts[age] + 1)] <= limit:
            lasts[age] += 1
    _rings.drop_before(rings, key, ENTRIES, lasts[-1])
    if number & 1023 == 0:
        _start_sums_anew(rings, kept, key)
    return entry


@compiled
def _start_sums_anew(rings: Rings, kept: Kept, key: int) -> None:
    """Subtract the first entry's sums from all, so that they never overflow."""
    oldest = at(rings, key, ENTRIES, first(rings, key, ENTRIES))
    for column in range(1, 1 + kept.n_sums):
        base = rings.pool[oldest + column]
        for record in range(first(rings, key, ENTRIES), end(rings, key, ENTRIES)):
            rings.pool[at(rings, key, ENTRIES, record) + column] -= base


@compiled
def _add_to(rings: Rings, kept: Kept, entry: int, amount: float, is_unusual: bool) -> None:  # noqa: FBT001
    pool = rings.pool
    pool[entry + COUNT] += 1
    if kept.has_amounts:
        whole, middle, low = limbs_of(amount)
        pool[entry + AMOUNTS] += whole
        pool[entry + AMOUNTS + 1] += middle
        pool[entry + AMOUNTS + 2] += low
    if kept.has_squares:
        tall, whole, middle, low = square_limbs_of(amount)
        pool[entry + SQUARES] += tall
        pool[entry + SQUARES + 1] += whole
        pool[entry + SQUARES + 2] += middle
        pool[entry + SQUARES + 3] += low
    if kept.has_unusual:
        pool[entry + kept.n_sums] += is_unusual


@compiled
def will_learn(
    histories: Histories,
    kept: Kept,
    key: int,
    since: int,
    instant: int,
    more: int,
    left_out: int,
    amount: float,
) -> None:
    """From the instant ``since`` on, ``instant`` has a fraud of ``amount`` more (or one less)."""
    rings = histories.rings
    record = _rings.after(rings, key, kept.pending, since)
    place = _rings.insert(rings, key, kept.pending, record)
    rings.pool[place], rings.pool[place + 1], rings.pool[place + 2] = since, instant, more
    rings.pool[place + 3], rings.reals[place + 4] = left_out, amount


@compiled
def learn(rings: Rings, kept: Kept, key: int, now: int) -> None:
    """Count the frauds that are pending and known by ``now``, and forget those that are over."""
    known = _rings.after(rings, key, kept.pending, now)
    over = now - kept.ages[-1]
    for number in range(len(kept.frauds)):
        bit, frauds, amounts = kept.frauds[number]
        for record in range(first(rings, key, kept.pending), known):
            place = at(rings, key, kept.pending, record)
            instant, more = rings.pool[place + 1], rings.pool[place + 2]
            if rings.pool[place + 3] & bit:
                continue
            _count_frauds(rings, frauds, key, instant, more)
            if amounts >= 0:
                _count_amount(rings, amounts, key, instant, more, rings.reals[place + 4])
        _rings.drop_before(rings, key, frauds, _rings.after(rings, key, frauds, over))
        if amounts >= 0:
            _rings.drop_before(rings, key, amounts, _rings.after(rings, key, amounts, over))
    _rings.drop_before(rings, key, kept.pending, known)


@compiled
def _count_frauds(rings: Rings, frauds: int, key: int, instant: int, more: int) -> None:
    record = _rings.after(rings, key, frauds, instant - 1)
    place = at(rings, key, frauds, record)
    if record == end(rings, key, frauds) or rings.pool[place] != instant:
        place = _rings.insert(rings, key, frauds, record)
        rings.pool[place], rings.pool[place + 1] = instant, 0
    rings.pool[place + 1] += more
    if rings.pool[place + 1] == 0:
        _rings.remove(rings, key, frauds, record)


@compiled
def _count_amount(
    rings: Rings, amounts: int, key: int, instant: int, more: int, amount: float
) -> None:
    """Count a fraud of ``amount`` at ``instant`` more, or one less, perhaps before it is there."""
    record = _rings.after(rings, key, amounts, instant - 1)
    place = at(rings, key, amounts, record)
    while (
        record < end(rings, key, amounts)
        and rings.pool[place] == instant
        and rings.reals[place + 1] < amount
    ):
        record += 1
        place = at(rings, key, amounts, record)
    is_there = record < end(rings, key, amounts)
    if not is_there or rings.pool[place] != instant or rings.reals[place + 1] != amount:
        place = _rings.insert(rings, key, amounts, record)
        rings.pool[place], rings.reals[place + 1], rings.pool[place + 2] = instant, amount, 0
    rings.pool[place + 2] += more
    if rings.pool[place + 2] == 0:
        _rings.remove(rings, key, amounts, record)
