"""Who commits a scenario's frauds: episodes that begin, act, and answer a policy that declines.

A fraudster knows of a day's declines on the next day. What each draws depends on the scenario's
seed, its own number and the day alone, so another fraud or another policy changes nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from fraud_ml._payments import Payments, amounts, times_of_day
from fraud_ml._simulated import SECONDS_A_DAY, Floats, Ints, joined_in_time
from fraud_ml.scenario import (
    Adversary,
    CompromisedCustomers,
    CompromisedTerminals,
    Fraud,
    LargeAmounts,
    Rings,
)

Rng = np.random.Generator


@dataclass(slots=True)
class Episode:
    """A fraudster at work."""

    number: int
    """0, 1, ... of its kind of fraud."""
    customers: Ints
    """Whose cards it uses; none: everyone's."""
    terminals: Ints
    """Where; none: everywhere."""
    first_day: int
    end_day: int
    """The day after the last."""
    factor: float = 1.0
    declined: int = 0
    """Since it last changed anything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What fraudsters choose from."""

    n_terminals: int
    mean_amount: Floats
    """Of each customer, shape ``(C,)``."""
    arrival: Ints
    """Of each customer, the first day, shape ``(C,)``."""


class Fraudsters(Protocol):
    """All episodes of one fraud of the scenario."""

    started: list[Episode]
    """Every episode as it began, and once more as it went on after it moved."""

    def act(self, rng: Rng, day: int, times: float, payments: Payments) -> Payments:
        """The day's payments with these frauds; ``times`` as many episodes begin as usual."""

    def learn(self, rng: Rng, day: int, declined: Ints) -> None:
        """Answer the declines of ``day``: the episode of each declined payment, ``(D,)``."""


def fraudsters(fraud: Fraud, number: int, world: World) -> Fraudsters:
    """Those who commit ``fraud``, which the truth calls ``number``."""
    if isinstance(fraud, LargeAmounts):
        return _Large(fraud, number)
    if isinstance(fraud, CompromisedTerminals):
        return _AtTerminals(fraud, number, world)
    if isinstance(fraud, CompromisedCustomers):
        return _OfCustomers(fraud, number, world)
    return _InRings(fraud, number, world)


@dataclass(slots=True)
class _Large:
    fraud: LargeAmounts
    number: int
    started: list[Episode] = field(default_factory=list)

    def act(self, rng: Rng, day: int, times: float, payments: Payments) -> Payments:  # noqa: ARG002
        if _lasts(self.fraud, day):
            rows = np.flatnonzero(payments.amount > self.fraud.above)
            payments.mark(rows, self.number, np.full(len(rows), -1))
        return payments

    def learn(self, rng: Rng, day: int, declined: Ints) -> None:
        """Nobody is behind it who could."""


_Fraud = TypeVar("_Fraud", CompromisedTerminals, CompromisedCustomers, Rings)


@dataclass
class _Episodes(Generic[_Fraud]):
    """What the frauds in episodes share; what they draw is theirs."""

    fraud: _Fraud
    number: int
    world: World
    started: list[Episode] = field(default_factory=list)
    active: dict[int, Episode] = field(default_factory=dict)

    def targets(self, rng: Rng, day: int) -> tuple[Ints, Ints]:
        """Customers and terminals of a new episode."""
        raise NotImplementedError

    def moved(self, rng: Rng, day: int, episode: Episode) -> None:
        """Give an episode other targets."""
        episode.customers, episode.terminals = self.targets(rng, day)

    def begin(self, rng: Rng, day: int, times: float) -> None:
        """Forget the episodes that are over, and let the day's begin."""
        self.active = {k: it for k, it in self.active.items() if day < it.end_day}
        for _ in range(_count(rng, self.fraud.a_day * times) if _lasts(self.fraud, day) else 0):
            number = len(self.started)
            episode = Episode(number, *self.targets(rng, day), day, day + self.fraud.days)
            episode.factor = getattr(self.fraud, "factor", 1.0)
            self.active[number] = episode
            self.started.append(_copy(episode))

    def learn(self, rng: Rng, day: int, declined: Ints) -> None:
        adversary = self.fraud.adversary
        if adversary is None:
            return
        numbers, counts = np.unique(declined, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            episode = self.active[number]
            episode.declined += count
            if episode.declined >= adversary.patience and day + 1 < episode.end_day:
                self.change(rng, day + 1, episode, adversary)

    def change(self, rng: Rng, day: int, episode: Episode, adversary: Adversary) -> None:
        episode.declined = 0
        episode.factor = max(episode.factor * adversary.amount_factor, 1.0)
        if adversary.moves:
            self.moved(rng, day, episode)
        self.started.append(_copy(episode, first_day=day))


class _AtTerminals(_Episodes[CompromisedTerminals]):
    def targets(self, rng: Rng, day: int) -> tuple[Ints, Ints]:  # noqa: ARG002
        return _NONE, rng.integers(self.world.n_terminals, size=1)

    def act(self, rng: Rng, day: int, times: float, payments: Payments) -> Payments:
        self.begin(rng, day, times)
        at = _by_key([(it.terminals, it.number) for it in self.active.values()], payments.terminal)
        hit = (at >= 0) & (rng.random(len(payments)) < self.fraud.share)
        rows = np.flatnonzero(hit)
        payments.mark(rows, self.number, at[rows])
        return payments


class _OfCustomers(_Episodes[CompromisedCustomers]):
    def targets(self, rng: Rng, day: int) -> tuple[Ints, Ints]:
        return _some_customers(rng, self.world, day, 1), _NONE

    def act(self, rng: Rng, day: int, times: float, payments: Payments) -> Payments:
        self.begin(rng, day, times)
        of = _by_key([(it.customers, it.number) for it in self.active.values()], payments.customer)
        hit = (of >= 0) & (rng.random(len(payments)) < self.fraud.share)
        rows = np.flatnonzero(hit)
        factor = np.array([self.active[number].factor for number in of[rows].tolist()])
        payments.amount[rows] = np.round(payments.amount[rows] * factor, 2)
        payments.mark(rows, self.number, of[rows])
        return payments


class _InRings(_Episodes[Rings]):
    def targets(self, rng: Rng, day: int) -> tuple[Ints, Ints]:
        fraud = self.fraud
        terminals = rng.choice(self.world.n_terminals, fraud.terminals, replace=False)
        return _some_customers(rng, self.world, day, fraud.customers), terminals

    def moved(self, rng: Rng, day: int, episode: Episode) -> None:
        _, episode.terminals = self.targets(rng, day)  # the members stay

    def act(self, rng: Rng, day: int, times: float, payments: Payments) -> Payments:
        self.begin(rng, day, times)
        of_rings = [self._payments(rng, episode) for episode in self.active.values()]
        return joined_in_time([payments, *of_rings])

    def _payments(self, rng: Rng, episode: Episode) -> Payments:
        number = rng.poisson(self.fraud.payments_a_day, len(episode.customers))
        customer = episode.customers.repeat(number)
        second = np.clip(times_of_day(rng, len(customer)), 1, SECONDS_A_DAY - 1)
        terminal = rng.choice(episode.terminals, len(customer))
        amount = amounts(rng, self.world.mean_amount[customer]) * episode.factor
        of_ring = Payments.honest(second, customer, terminal, np.round(amount, 2))
        of_ring.mark(np.arange(len(of_ring)), self.number, np.full(len(of_ring), episode.number))
        return of_ring


_NONE = np.empty(0, dtype=np.int64)


def _lasts(fraud: Fraud, day: int) -> bool:
    return fraud.first_day <= day and (fraud.until_day is None or day < fraud.until_day)


def _count(rng: Rng, mean: float) -> int:
    """A whole number with this mean: itself where it is whole, as two a day are two on each."""
    return int(mean) + int(rng.random() < mean - int(mean))


def _some_customers(rng: Rng, world: World, day: int, n: int) -> Ints:
    """Different customers of those that are there; all of them where they are fewer."""
    there = np.flatnonzero(world.arrival <= day)
    drawn: Ints = rng.choice(there, min(n, len(there)), replace=False)
    return drawn


def _by_key(episodes: Sequence[tuple[Ints, int]], key: Ints) -> Ints:
    """Of each row the number of its key's episode, the last begun; -1: none. Shape ``(N,)``."""
    if not episodes or not len(key):
        return np.full(len(key), -1)
    keys = np.concatenate([keys for keys, _ in episodes])
    numbers = np.concatenate([np.full(len(keys), number) for keys, number in episodes])
    episode_of = np.full(max(int(key.max()), int(keys.max(initial=0))) + 1, -1)
    episode_of[keys] = numbers
    of_row: Ints = episode_of[key]
    return of_row


def _copy(episode: Episode, first_day: int | None = None) -> Episode:
    return Episode(
        episode.number,
        episode.customers,
        episode.terminals,
        episode.first_day if first_day is None else first_day,
        episode.end_day,
        episode.factor,
    )
