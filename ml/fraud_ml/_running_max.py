"""The largest of a key's values over windows that end some instants ago.

Queue ``number`` keeps the values that no later one exceeds, the one after it those that are too
young to count. Records: an instant, and a value.
"""

from __future__ import annotations

from fraud_ml import _rings
from fraud_ml._compiled import compiled
from fraud_ml._rings import Rings, at, end, first


@compiled
def add(
    rings: Rings, key: int, number: int, instant: int, value: float, delay: int, longest: int
) -> None:
    """Count in ``value`` at ``instant``, the newest; forget what is ``longest`` ago."""
    if delay:
        _add_young(rings, key, number, instant, value, delay)
    else:
        _count(rings, key, number, instant, value)
    gone = _rings.after(rings, key, number, instant - longest)
    _rings.drop_before(rings, key, number, gone)


@compiled
def since(rings: Rings, key: int, number: int, instant: int) -> float:
    """The largest value after ``instant``, 0 where there is none."""
    found = _rings.after(rings, key, number, instant)
    if found == end(rings, key, number):
        return 0.0
    return float(rings.reals[at(rings, key, number, found) + 1])


@compiled
def _add_young(rings: Rings, key: int, number: int, instant: int, value: float, delay: int) -> None:
    young = number + 1
    newest = end(rings, key, young) - 1
    place = at(rings, key, young, newest)
    if newest >= first(rings, key, young) and rings.pool[place] == instant:
        rings.reals[place + 1] = max(rings.reals[place + 1], value)
    else:
        place = _rings.push(rings, key, young)
        rings.pool[place] = instant
        rings.reals[place + 1] = value
    old = _rings.after(rings, key, young, instant - delay)
    for record in range(first(rings, key, young), old):
        place = at(rings, key, young, record)
        _count(rings, key, number, rings.pool[place], rings.reals[place + 1])
    _rings.drop_before(rings, key, young, old)


@compiled
def _count(rings: Rings, key: int, number: int, instant: int, value: float) -> None:
    oldest, newest = first(rings, key, number), end(rings, key, number) - 1
    while newest >= oldest and rings.reals[at(rings, key, number, newest) + 1] <= value:
        _rings.pop(rings, key, number)
        newest -= 1
    if newest < oldest or rings.pool[at(rings, key, number, newest)] != instant:
        place = _rings.push(rings, key, number)
        rings.pool[place] = instant
        rings.reals[place + 1] = value
