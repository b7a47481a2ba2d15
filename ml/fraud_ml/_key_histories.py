"""The histories of all values of a key, that grow as transactions and labels come."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fraud_ml import _key_state, _rings
from fraud_ml._aggregates import Window, aggregate_of
from fraud_ml._compiled import compiled
from fraud_ml._distinct import Distinct
from fraud_ml._key_state import ENTRIES, Histories, Kept
from fraud_ml._rings import Rings
from fraud_ml._state_plan import KeyPlan

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FEW = 64  # keys that there is always room for, and numbers in the pool
# Room that is asked for: so many times as much as there is now, and at least so much.
_TIMES = 16
_MANY_KEYS, _MUCH_ROOM = 1 << 20, 1 << 26
NO_KEY = -1
"""In place of a key's number, where there is none."""
_FAR, _NEAR = 16, 8  # transactions before one, its queues are fetched, and then its records


class Unrolled(NamedTuple):
    """The histories of keys 0, 1, ... as plain arrays, the same for the same histories."""

    since: Ints
    """Shape ``(K,)``."""
    lasts: Ints
    """Counted from the oldest entry: shape ``(K, A)``."""
    queues: list[tuple[Ints, Ints]]
    """Of each queue the lengths, shape ``(K,)``, and the records, end to end."""


class KeyHistories:
    """Of each value of a key its number, and under that number its running history."""

    def __init__(self, plan: KeyPlan) -> None:
        """No value has been seen."""
        self.plan = plan
        self.number_of: dict[Any, int] = {}
        """0, 1, ... in order of appearance."""
        self.distinct: list[list[Distinct]] = []
        """Of each number, the different values of each column that is counted."""
        empty = np.zeros(0, dtype=np.int64)
        self._histories = self._rolled(
            Unrolled(
                empty, empty.reshape(0, len(plan.kept.ages)), [(empty, empty)] * len(plan.width)
            )
        )

    def names_of(self, columns: dict[str, list[Any]]) -> list[Any]:
        """Of each row, the value of the key; None where a part of it is missing."""
        named = [columns[name] for name in self.plan.columns]
        if len(named) == 1:
            return named[0]
        return [None if None in pair else pair for pair in zip(*named, strict=True)]

    def update(
        self,
        names: list[Any],
        instants: Ints,
        amounts: Floats,
        columns: dict[str, list[Any]],
        rows: Floats,
    ) -> tuple[Ints, Ints]:
        """Count in transactions, one after the other, and fill the plan's columns of ``rows``.

        Args:
            names: the value of the key; None where it is missing: then there is no history, and
                the columns are NaN.
            instants: when they happened: shape ``(B,)``.
            amounts: finite and at least 0: shape ``(B,)``.
            columns: the transactions', with those in ``plan.distinct_of``.
            rows: shape ``(B, F)``, for all features of the spec.

        Returns:
            The keys' numbers, :data:`NO_KEY` where it is missing; and the instants at which they
            count: that of the key's newest, if that is later. Each of shape ``(B,)``.
        """
        keys = self._numbers_of(names)
        counted = np.empty_like(instants)
        plan, done = self.plan, 0
        while done < len(keys):
            done = _update(
                self._histories, plan.kept, plan.program, plan.unit,
                keys, instants, amounts, rows, counted, done,
            )  # fmt: skip
            if done < len(keys):
                self._make_room_for(keys[done])
        if plan.distinct:
            self._count_distinct(keys, counted, columns, rows)
        return keys, counted

    def will_learn(
        self, key: int, since: int, instant: int, more: int, left_out: int, amount: float
    ) -> None:
        """From the instant ``since`` on, ``instant`` has a fraud of ``amount`` more (or one less).

        Args:
            key: its number; where it is :data:`NO_KEY`, nothing happens.
            since: when it is known.
            instant: at which the transaction counts.
            more: 1 or -1.
            left_out: a bit for each ``unless`` of the spec that leaves it out.
            amount: the transaction's.
        """
        if key == NO_KEY:
            return
        if not _rings.has_room(self._histories.rings, key):
            self._make_room_for(key)
        _key_state.will_learn(
            self._histories, self.plan.kept, key, since, instant, more, left_out, amount
        )

    def forget_before(self, instant: int) -> Ints:
        """Forget the values last seen before ``instant``.

        Returns:
            Of each that was known, by its number, the one that it has now; :data:`NO_KEY` where it
            is forgotten.
        """
        is_left = _newest(self._histories.rings, len(self.number_of)) >= instant
        if not is_left.all():
            left = [name for name, key in self.number_of.items() if is_left[key]]
            (keys,) = is_left.nonzero()
            self._histories = self._rolled(self._unrolled(keys))
            if self.distinct:
                self.distinct = [self.distinct[key] for key in keys.tolist()]
            self.number_of = {name: number for number, name in enumerate(left)}
        return np.where(is_left, is_left.cumsum() - 1, NO_KEY)

    def to_arrays(self) -> Iterator[Ints]:
        """All histories, for :meth:`fill`, but for names and the different values themselves."""
        since, lasts, queues = self._unrolled(np.arange(len(self.number_of)))
        yield from (since, lasts.ravel(), *chain.from_iterable(queues))
        for of in range(len(self.plan.distinct_of)):
            seen = [values[of].instants for values in self.distinct]
            yield np.array([len(instants) for instants in seen], dtype=np.int64)
            yield np.array([at for instants in seen for at in instants], dtype=np.int64)

    def fill(self, names: list[Any], values: list[list[list[Any]]], arrays: Iterator[Ints]) -> None:
        """Take over what :meth:`to_arrays` gave; nothing has been seen before.

        Args:
            names: the values of the key.
            values: the different values of each, column by column.
            arrays: what it gave, and perhaps more, which is left there.
        """
        self.number_of = {name: number for number, name in enumerate(names)}
        since = next(arrays)
        lasts = next(arrays).reshape(len(names), len(self.plan.kept.ages))
        queues = [(next(arrays), next(arrays)) for _ in self.plan.width]
        self._histories = self._rolled(Unrolled(since, lasts, queues))
        instants = []
        for _ in self.plan.distinct_of:
            lengths, joined = next(arrays), next(arrays)
            instants.append(iter(np.split(joined, lengths.cumsum()[:-1])))
        self.distinct = [
            [
                Distinct(zip(seen, next(at).tolist(), strict=True))
                for seen, at in zip(of_key, instants, strict=True)
            ]
            for of_key in values
        ]

    def _numbers_of(self, names: list[Any]) -> Ints:
        """The keys' numbers, new ones where they were never seen: shape ``(B,)``."""
        number_of = self.number_of
        keys = [number_of.get(name, NO_KEY) for name in names]
        if NO_KEY in keys:
            for row, name in enumerate(names):
                if name is not None and keys[row] == NO_KEY:
                    keys[row] = number_of.setdefault(name, len(number_of))
            if self.plan.distinct_of:
                new = len(number_of) - len(self.distinct)
                self.distinct += [[Distinct() for _ in self.plan.distinct_of] for _ in range(new)]
            if len(number_of) > len(self._histories.since):
                self._histories = self._rolled(self._unrolled(self._known))
        return np.array(keys, dtype=np.int64)

    def _make_room_for(self, key: int) -> None:
        room = _rings.room_for(self._histories.rings, key)
        self._histories = self._rolled(self._unrolled(self._known), room)

    @property
    def _known(self) -> Ints:
        """The numbers of all keys with histories."""
        return np.arange(min(len(self.number_of), len(self._histories.since)))

    def _unrolled(self, keys: Ints) -> Unrolled:
        rings, since, lasts = self._histories
        oldest = rings.ring[keys, ENTRIES, _rings.FIRST]
        return Unrolled(
            since[keys],
            lasts[keys] - oldest[:, None],
            [_rings.unroll(rings, number, keys) for number in range(len(self.plan.width))],
        )

    def _rolled(self, unrolled: Unrolled, room: int = 64 * _FEW) -> Histories:
        """The same histories, with room for many more keys and records, at least ``room``.

        All transactions wait meanwhile, the longer the more histories there are: so it is much
        room, which takes no memory until it is used. Where so much may not even be asked for, it
        is less.
        """
        n_keys, n_records = len(self.number_of), sum(len(it) for _, it in unrolled.queues)
        try:
            return self._rolled_for(
                unrolled,
                n_keys=max(_TIMES * n_keys, _MANY_KEYS),
                room=max(_TIMES * n_records, _MUCH_ROOM, room),
            )
        except MemoryError:
            return self._rolled_for(
                unrolled, n_keys=max(2 * n_keys, _FEW), room=max(n_records, room)
            )

    def _rolled_for(self, unrolled: Unrolled, *, n_keys: int, room: int) -> Histories:
        known = len(unrolled.since)
        rings = _rings.rolled(unrolled.queues, self.plan.width, n_keys=n_keys, room=room)
        since = np.zeros(n_keys, dtype=np.int64)
        lasts = np.zeros((n_keys, len(self.plan.kept.ages)), dtype=np.int64)
        since[:known], lasts[:known] = unrolled.since, unrolled.lasts
        return Histories(rings, since, lasts)

    def _count_distinct(
        self, keys: Ints, counted: Ints, columns: dict[str, list[Any]], rows: Floats
    ) -> None:
        horizon = self.plan.kept.horizon
        seen = zip(*(columns[name] for name in self.plan.distinct_of), strict=True)
        for row, key, now, values in zip(rows, keys.tolist(), counted.tolist(), seen, strict=True):
            if key == NO_KEY:
                continue
            distincts = self.distinct[key]
            for distinct, value in zip(distincts, values, strict=True):
                if value is not None:
                    distinct.add(now, value, horizon)
            for feature in self.plan.distinct:
                row[feature.at] = distincts[feature.of].since(now - feature.window)


@compiled
def _update(
    histories: Histories,
    kept: Kept,
    program: Ints,
    unit: int,
    keys: Ints,
    instants: Ints,
    amounts: Floats,
    rows: Floats,
    counted: Ints,
    start: int,
) -> int:
    """Goes through the transactions from ``start`` on; the first that there is no room for."""
    histories = _key_state.borrowed_histories(histories)
    kept = _key_state.borrowed_kept(kept)
    rings = histories.rings
    for row in range(start, len(keys)):
        # What transactions after this one need comes from memory meanwhile.
        if row + _FAR < len(keys) and keys[row + _FAR] != NO_KEY:
            _key_state.fetch_queues(histories, keys[row + _FAR])
        if row + _NEAR < len(keys) and keys[row + _NEAR] != NO_KEY:
            _key_state.fetch_records(histories, keys[row + _NEAR])
        key = keys[row]
        if key == NO_KEY:
            counted[row] = instants[row]
            for feature in program:
                rows[row, feature[0]] = np.nan
            continue
        if not _rings.has_room(rings, key):
            return row
        newest = _key_state.count_in(histories, kept, key, instants[row], amounts[row])
        counted[row] = newest.now
        last = _rings.end(rings, key, ENTRIES) - 1
        for feature in program:
            at, aggregate, which, delay, longest, age_of_end, age_of_start = feature
            window = Window(
                before=histories.lasts[key, age_of_start - 1] if age_of_start else last,
                last=histories.lasts[key, age_of_end - 1] if age_of_end else last,
                delay=delay,
                longest=longest,
                unit=unit,
            )
            rows[row, at] = aggregate_of(aggregate, which, rings, key, kept, newest, window)
    return len(keys)


@compiled
def _newest(rings: Rings, n_keys: int) -> Ints:
    """The newest instant of keys 0, 1, ...: shape ``(n_keys,)``."""
    newest = np.empty(n_keys, dtype=np.int64)
    for key in range(n_keys):
        entry = _rings.at(rings, key, ENTRIES, _rings.end(rings, key, ENTRIES) - 1)
        newest[key] = rings.pool[entry]
    return newest
