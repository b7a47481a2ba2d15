"""How likely a key (a terminal, a customer) is in an episode of fraud, from evidence of its rows.

A hidden Markov model a key, filtered exactly. Each day an episode begins with a fixed probability
and lasts a fixed number of days; the state is the days since the last beginning, or none. Rabiner:
"A Tutorial on Hidden Markov Models" (1989), section III.A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraud_ml._simulated import SECONDS_A_DAY, Floats, Ints

_MAX_LOG = 300.0  # exp of it, and of its negative, is still far from overflow


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows in time order, and when each is fully known: shape ``(N,)`` each."""

    second: Ints
    """Since the first day began, at least 0, ascending."""
    key: Ints
    """0, 1, ... ``n_keys - 1``."""
    n_keys: int
    n_days: int
    label_delay: int
    """In seconds: that long after a row its labelled evidence counts, at least 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Logarithms of how much likelier a row is in an episode than outside: shape ``(N,)`` each."""

    early: Floats
    """From what is known at once, finite."""
    labelled: Floats
    """From all that is known with the label, in place of ``early``; plus or minus infinity where
    the label decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Episodes:
    """How episodes come and go."""

    rate: float
    """Probability that one begins on a given day."""
    days: int
    """How long one lasts, the first day included."""

    @property
    def usual_chance(self) -> float:
        """Probability that a key is in an episode, of whom nothing is known."""
        return 1 - (1 - self.rate) ** self.days


def chance_in_episode(rows: Rows, evidence: Evidence, episodes: Episodes) -> Floats:
    """Probability that a row's key is in an episode on its day, from the rows before it: ``(N,)``.

    A row counts as before if it stands before; its labelled evidence, if its second is at least
    ``label_delay`` before. Takes O(N * days * (label delay + 1)) steps, all in NumPy but for the
    loop over calendar days.
    """
    index = _Index.build(rows, evidence)
    bounds = np.searchsorted(rows.second, np.arange(rows.n_days + 1) * SECONDS_A_DAY)
    every_key = np.arange(rows.n_keys)
    chance = np.empty(len(rows.second))
    # Of every key at the start of `table_day`, from the labels of all days before it.
    table = _begin(rows.n_keys, episodes)
    table_day = 0
    for day in range(rows.n_days):
        labelled_until = max(0, (day * SECONDS_A_DAY - rows.label_delay) // SECONDS_A_DAY)
        while table_day < labelled_until:
            start, end = index.start[every_key, table_day], index.start[every_key, table_day + 1]
            _observe(table, index.sums(start, end, end))
            table_day += 1
            table = _next_day(table, episodes.rate)
        now = slice(bounds[day], bounds[day + 1])
        key, own, known = rows.key[now], index.own[now], index.known[now]
        state = table[:, key]
        for past in range(table_day, day + 1):
            start = index.start[key, past]
            end = np.minimum(index.start[key, past + 1], own)
            _observe(state, index.sums(start, np.clip(known, start, end), end))
            if past < day:
                state = _next_day(state, episodes.rate)
        chance[now] = state[:-1].sum(axis=0) / state.sum(axis=0)
    return chance


@dataclass(frozen=True, slots=True)
class _Sums:
    """Evidence of some rows of each of n keys: shape ``(n,)`` each."""

    log: Floats
    inside: npt.NDArray[np.bool_]  # a label says that the key is in an episode
    outside: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Index:
    """Positions in the order by key, then time, and running sums along it."""

    start: Ints  # of each key and day: (K, D + 1)
    own: Ints  # of each row: (N,)
    known: Ints  # of each row, the end of its key's rows whose labels are known by then: (N,)
    early: Floats  # running sums: (N + 1,) each
    labelled: Floats
    inside: Floats
    outside: Floats

    @classmethod
    def build(cls, rows: Rows, evidence: Evidence) -> _Index:
        order = np.argsort(rows.key, kind="stable")
        own = np.empty_like(order)
        own[order] = np.arange(len(order))
        span = rows.n_days * SECONDS_A_DAY + 1  # one more, so that -1 is before a key's rows
        place = (rows.key * span + rows.second)[order]
        midnight = np.arange(rows.n_days + 1) * SECONDS_A_DAY
        start = np.searchsorted(place, np.arange(rows.n_keys)[:, None] * span + midnight)
        since = np.maximum(rows.second - rows.label_delay, -1)
        known = np.empty_like(order)
        known[order] = np.searchsorted(place, (rows.key * span + since)[order], side="right")

        def running(values: Floats) -> Floats:
            return np.append(0.0, np.cumsum(values[order]))

        labelled = evidence.labelled
        return cls(
            start=start,
            own=own,
            known=np.minimum(known, own),  # a row's own label never counts
            early=running(evidence.early),
            labelled=running(np.where(np.isinf(labelled), 0.0, labelled)),
            inside=running((labelled == np.inf).astype(np.float64)),
            outside=running((labelled == -np.inf).astype(np.float64)),
        )

    def sums(self, start: Ints, known: Ints, end: Ints) -> _Sums:
        """Labelled evidence from ``start`` to ``known``, early evidence from there to ``end``."""
        labelled = self.labelled[known] - self.labelled[start]
        return _Sums(
            log=labelled + self.early[end] - self.early[known],
            inside=self.inside[known] > self.inside[start],
            outside=self.outside[known] > self.outside[start],
        )


def _begin(n_keys: int, episodes: Episodes) -> Floats:
    """States on the first day: (days + 1, K); row i is i days since the beginning, the last none.

    Columns need not sum to 1: only their proportions count.
    """
    state = np.zeros((episodes.days + 1, n_keys))
    state[0], state[-1] = episodes.rate, 1 - episodes.rate
    return state


def _observe(state: Floats, sums: _Sums) -> None:
    """Weigh ``state``, shape (days + 1, n), by the evidence of one day."""
    state[-1] *= np.exp(-np.clip(sums.log, -_MAX_LOG, _MAX_LOG))
    state[-1, sums.inside] = 0
    state[:-1, sums.outside] = 0
    state[-1, sums.outside] = 1  # also where labels of one day contradict each other


def _next_day(state: Floats, rate: float) -> Floats:
    state /= state.sum(axis=0)
    following = np.empty_like(state)
    following[0] = rate
    following[1:] = (1 - rate) * state[:-1]
    following[-1] += (1 - rate) * state[-1]
    return following
