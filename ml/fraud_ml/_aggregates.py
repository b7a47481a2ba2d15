"""What each aggregate is of one key's running history, right after a transaction is counted in."""

from __future__ import annotations

import math
from typing import NamedTuple

from fraud_ml import _rings, _running_max
from fraud_ml._compiled import compiled
from fraud_ml._exact import deviation, from_limbs, from_square_limbs, limbs_of, ratio
from fraud_ml._key_state import AMOUNTS, COUNT, ENTRIES, SQUARES, Kept, Newest
from fraud_ml._rings import Rings, at, end, first
from fraud_ml.feature_spec import Aggregate

NUMBER_OF = {aggregate: number for number, aggregate in enumerate(Aggregate)}
"""By which compiled code knows an aggregate."""

_COUNT = NUMBER_OF[Aggregate.COUNT]
_SUM_AMOUNT = NUMBER_OF[Aggregate.SUM_AMOUNT]
_MEAN_AMOUNT = NUMBER_OF[Aggregate.MEAN_AMOUNT]
_MAX_AMOUNT = NUMBER_OF[Aggregate.MAX_AMOUNT]
_STD_AMOUNT = NUMBER_OF[Aggregate.STD_AMOUNT]
_AMOUNT_TO_MEAN = NUMBER_OF[Aggregate.AMOUNT_TO_MEAN]
_AMOUNT_TO_MEDIAN = NUMBER_OF[Aggregate.AMOUNT_TO_MEDIAN]
_AMOUNT_ROBUST_Z = NUMBER_OF[Aggregate.AMOUNT_ROBUST_Z]
_MAX_AMOUNT_TO_MEDIAN = NUMBER_OF[Aggregate.MAX_AMOUNT_TO_MEDIAN]
_UNUSUAL_COUNT = NUMBER_OF[Aggregate.UNUSUAL_COUNT]
_TIME_SINCE_LAST = NUMBER_OF[Aggregate.TIME_SINCE_LAST]
_HISTORY_LENGTH = NUMBER_OF[Aggregate.HISTORY_LENGTH]
_NTH_LAST_AMOUNT = NUMBER_OF[Aggregate.NTH_LAST_AMOUNT]
_NTH_LAST_AGE = NUMBER_OF[Aggregate.NTH_LAST_AGE]
_FRAUD_COUNT = NUMBER_OF[Aggregate.FRAUD_COUNT]
_FRAUD_RATE = NUMBER_OF[Aggregate.FRAUD_RATE]
_LAST_LABEL = NUMBER_OF[Aggregate.LAST_LABEL]
_FRAUD_AGE = NUMBER_OF[Aggregate.FRAUD_AGE]
_FRAUD_RUN_AGE = NUMBER_OF[Aggregate.FRAUD_RUN_AGE]
_FRAUD_RUN_LENGTH = NUMBER_OF[Aggregate.FRAUD_RUN_LENGTH]
_LAST_FRAUD_AMOUNT = NUMBER_OF[Aggregate.LAST_FRAUD_AMOUNT]


class Window(NamedTuple):
    """Where a feature looks."""

    before: int
    """The number of the newest entry before the window."""
    last: int
    """The number of its last entry."""
    delay: int
    """How many instants ago it ends."""
    longest: int
    """How many instants ago it starts."""
    unit: int
    """Microseconds an instant."""


@compiled
def aggregate_of(
    aggregate: int, which: int, rings: Rings, key: int, kept: Kept, newest: Newest, window: Window
) -> float:
    """What ``aggregate`` is over ``window``.

    ``which`` is of a maximum and of known frauds the number of their queue, of the last
    transactions how many ago.
    """
    if aggregate == _COUNT:
        return float(_sum(rings, key, window, COUNT))
    if aggregate == _MEAN_AMOUNT:
        return ratio(_amounts(rings, key, window), _sum(rings, key, window, COUNT))
    if aggregate == _SUM_AMOUNT:
        return _amounts(rings, key, window)
    if aggregate == _STD_AMOUNT:
        return _deviation(rings, key, window)
    if aggregate == _AMOUNT_TO_MEAN:
        return _amount_to_mean(rings, key, newest, window)
    if aggregate == _AMOUNT_TO_MEDIAN:
        return newest.to_usual
    if aggregate == _AMOUNT_ROBUST_Z:
        return newest.robust_z
    if aggregate in (_MAX_AMOUNT, _MAX_AMOUNT_TO_MEDIAN):
        return _running_max.since(rings, key, which, newest.now - window.longest)
    if aggregate == _UNUSUAL_COUNT:
        return float(_sum(rings, key, window, kept.n_sums))
    if aggregate == _TIME_SINCE_LAST:
        return _time_since_last(rings, key, newest, window)
    if aggregate == _HISTORY_LENGTH:
        return (newest.now - newest.since) * window.unit / 1e6
    if aggregate in (_NTH_LAST_AMOUNT, _NTH_LAST_AGE):
        return _nth_last(aggregate, which, rings, key, kept, newest, window)
    if aggregate == _FRAUD_COUNT:
        return float(_n_frauds(rings, key, which, newest, window))
    if aggregate == _FRAUD_RATE:
        frauds = _n_frauds(rings, key, which, newest, window)
        return ratio(frauds, _sum(rings, key, window, COUNT))
    if aggregate == _LAST_LABEL:
        return _last_label(rings, key, which, window)
    if aggregate == _FRAUD_AGE:
        return _fraud_age(rings, key, which, newest, window)
    if aggregate == _FRAUD_RUN_AGE:
        return _fraud_run_age(rings, key, which, newest, window)
    if aggregate == _FRAUD_RUN_LENGTH:
        return float(_fraud_run_length(rings, key, which, window))
    if aggregate == _LAST_FRAUD_AMOUNT:
        return _last_fraud_amount(rings, key, which, newest, window)
    return math.nan  # what is not computed here


@compiled
def _sum(rings: Rings, key: int, window: Window, column: int) -> int:
    last, before = at(rings, key, ENTRIES, window.last), at(rings, key, ENTRIES, window.before)
    return int(rings.pool[last + column] - rings.pool[before + column])


@compiled
def _amounts(rings: Rings, key: int, window: Window) -> float:
    return from_limbs(
        _sum(rings, key, window, AMOUNTS),
        _sum(rings, key, window, AMOUNTS + 1),
        _sum(rings, key, window, AMOUNTS + 2),
    )


@compiled
def _deviation(rings: Rings, key: int, window: Window) -> float:
    squares = from_square_limbs(
        _sum(rings, key, window, SQUARES),
        _sum(rings, key, window, SQUARES + 1),
        _sum(rings, key, window, SQUARES + 2),
        _sum(rings, key, window, SQUARES + 3),
    )
    return deviation(_sum(rings, key, window, COUNT), _amounts(rings, key, window), squares)


@compiled
def _amount_to_mean(rings: Rings, key: int, newest: Newest, window: Window) -> float:
    whole, middle, low = limbs_of(newest.amount)
    is_within = window.delay == 0
    others = from_limbs(
        _sum(rings, key, window, AMOUNTS) - is_within * whole,
        _sum(rings, key, window, AMOUNTS + 1) - is_within * middle,
        _sum(rings, key, window, AMOUNTS + 2) - is_within * low,
    )
    return ratio(newest.amount, ratio(others, _sum(rings, key, window, COUNT) - is_within))


@compiled
def _time_since_last(rings: Rings, key: int, newest: Newest, window: Window) -> float:
    # The entry of this transaction is of an earlier one only if it was there before.
    last = window.last - (window.delay == 0 and not newest.was_there)
    instants = window.longest
    if last > window.before:
        instants = newest.now - rings.pool[at(rings, key, ENTRIES, last)]
    return instants * window.unit / 1e6


@compiled
def _nth_last(
    aggregate: int, nth: int, rings: Rings, key: int, kept: Kept, newest: Newest, window: Window
) -> float:
    record = end(rings, key, kept.latest) - 1 - nth
    if record < first(rings, key, kept.latest):
        return math.nan
    place = at(rings, key, kept.latest, record)
    if aggregate == _NTH_LAST_AMOUNT:
        return float(rings.reals[place + 1])
    return float((newest.now - rings.pool[place]) * window.unit / 1e6)


@compiled
def _n_frauds(rings: Rings, key: int, frauds: int, newest: Newest, window: Window) -> int:
    stop = _rings.after(rings, key, frauds, newest.now - window.delay)
    n = 0
    for record in range(_rings.after(rings, key, frauds, newest.now - window.longest), stop):
        n += rings.pool[at(rings, key, frauds, record) + 1]
    return n


@compiled
def _last_label(rings: Rings, key: int, frauds: int, window: Window) -> float:
    if window.last <= window.before:
        return 0.0
    last = at(rings, key, ENTRIES, window.last)
    record = _rings.after(rings, key, frauds, rings.pool[last] - 1)
    place = at(rings, key, frauds, record)
    if record == end(rings, key, frauds) or rings.pool[place] != rings.pool[last]:
        return 0.0
    before = at(rings, key, ENTRIES, window.last - 1)
    return float(rings.pool[place + 1] / (rings.pool[last + COUNT] - rings.pool[before + COUNT]))


@compiled
def _fraud_age(rings: Rings, key: int, frauds: int, newest: Newest, window: Window) -> float:
    record = _rings.after(rings, key, frauds, newest.now - window.delay) - 1
    instants = window.longest
    if record >= first(rings, key, frauds):
        fraud = rings.pool[at(rings, key, frauds, record)]
        instants = min(instants, newest.now - fraud)
    return instants * window.unit / 1e6


@compiled
def _fraud_run_age(rings: Rings, key: int, frauds: int, newest: Newest, window: Window) -> float:
    length = _fraud_run_length(rings, key, frauds, window)
    if length == 0:
        return 0.0
    started = rings.pool[at(rings, key, ENTRIES, window.last - length + 1)]
    return float((newest.now - started) * window.unit / 1e6)


@compiled
def _fraud_run_length(rings: Rings, key: int, frauds: int, window: Window) -> int:
    """Instants of the current run."""
    last = rings.pool[at(rings, key, ENTRIES, window.last)]
    fraud = _rings.after(rings, key, frauds, last) - 1
    # As long as the run goes on, the frauds' instants are the entries', one by one; once it is
    # over, they are older: where it starts is found by halving.
    n_frauds = fraud + 1 - first(rings, key, frauds)
    within, beyond = 0, min(window.last - window.before, n_frauds) + 1
    while beyond - within > 1:
        steps = (within + beyond) // 2
        entry = at(rings, key, ENTRIES, window.last - steps + 1)
        if rings.pool[at(rings, key, frauds, fraud - steps + 1)] == rings.pool[entry]:
            within = steps
        else:
            beyond = steps
    return within


@compiled
def _last_fraud_amount(
    rings: Rings, key: int, amounts: int, newest: Newest, window: Window
) -> float:
    last = _rings.after(rings, key, amounts, newest.now - window.delay) - 1
    if last < first(rings, key, amounts):
        return 0.0
    instant = rings.pool[at(rings, key, amounts, last)]
    if instant <= newest.now - window.longest:
        return 0.0
    # Those of an instant are in order, the smallest first.
    smallest = _rings.after(rings, key, amounts, instant - 1)
    return float(rings.reals[at(rings, key, amounts, smallest) + 1])
