"""Simulates card payments and frauds as a :class:`~fraud_ml.scenario.Scenario` says, day by day.

The default scenario is the process of Le Borgne, Siblini, Lebichot, Bontempi: "Reproducible Machine
Learning for Credit Card Fraud Detection - Practical Handbook" (2022), section 3.2; the code is new
and works on whole arrays. Places and times are made up, so a customer or a terminal is only a
number. Three things are simpler than there, because no day is known ahead: each payment of a
compromised customer is fraud independently, where the handbook takes exactly a third of those of
the episode; of two episodes of a customer only the later multiplies; and episodes begin on the last
day too.

Every day draws from seeds of its own, one for the payments and one for each fraud. So a scenario
with one more fraud, or with another policy, has the same honest payments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fraud_ml._fraudsters import Fraudsters, World, fraudsters
from fraud_ml._payments import HONEST, NOBODY, Payments, amounts, times_of_day
from fraud_ml._places import Reach
from fraud_ml._simulated import SECONDS_A_DAY, Bools, Ints, label_table, times_since
from fraud_ml.policy import Decision, Decisions
from fraud_ml.scenario import Population, Scenario
from fraud_ml.transactions import transaction_schema

Decide = Callable[[pa.Table], Decisions]
"""Takes a day's transactions, in time order; returns a :class:`~fraud_ml.policy.Decision` each."""

_PEOPLE, _PAYMENTS, _LABELS, _FRAUDS, _ANSWERS = range(5)  # what a seed is for

TRUTH_SCHEMA = pa.schema(
    [
        pa.field("transaction_id", pa.int64(), nullable=False),
        pa.field("scenario", pa.int8(), nullable=False),
        pa.field("fraud", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("episode", pa.int64()),
    ]
)
"""``scenario``: 0 honest, or the number of the fraud in the scenario; ``fraud``: its name, or
``honest``; ``episode``: which of it, null where there is none."""

EPISODE_SCHEMA = pa.schema(
    [
        pa.field("fraud", pa.string(), nullable=False),
        pa.field("episode", pa.int64(), nullable=False),
        pa.field("first_day", pa.date32(), nullable=False),
        pa.field("end_day", pa.date32(), nullable=False),
        pa.field("factor", pa.float64(), nullable=False),
        pa.field("customers", pa.list_(pa.int64()), nullable=False),
        pa.field("terminals", pa.list_(pa.int64()), nullable=False),
    ]
)
"""An episode as it began, from ``first_day`` until before ``end_day``; once more each time that its
fraudster changed something, from that day on."""


@dataclass(frozen=True, slots=True)
class Day:
    """One simulated day: three tables, row by row about the same transactions, in time order."""

    transactions: pa.Table
    """As from :func:`~fraud_ml.transactions.normalise_transactions`; ids 0, 1, ... over days."""
    labels: pa.Table
    """``transaction_id``, ``is_fraud``, ``labelled_at``: what investigators say, right or wrong."""
    truth: pa.Table
    """With :data:`TRUTH_SCHEMA`. No feature."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What :func:`simulate` returns: all days, each a chunk of three tables, and the customers."""

    transactions: pa.Table
    """As those of a :class:`Day`."""
    labels: pa.Table
    truth: pa.Table
    customers: pa.Table
    """As those of a :class:`SimulatedWorld`."""


@dataclass
class SimulatedWorld:
    """The people and terminals of a scenario, on which its days are simulated, once.

    Raises:
        ValueError: no customer has a terminal in reach.
    """

    scenario: Scenario
    customers: pa.Table = field(init=False)
    """``customer_id``, ``mean_amount`` in currency, ``payments_a_day``, ``first_day`` (the date
    from which a newcomer pays). Hidden like the truth: for an oracle, no feature."""

    def __post_init__(self) -> None:
        people, rng = self.scenario.population, self._rng(_PEOPLE)
        self._mean = rng.uniform(
            people.mean_amount_least, people.mean_amount_most, people.n_customers
        )
        self._rate = rng.uniform(0, people.payments_a_day_most, people.n_customers)
        self._arrival = _arrivals(rng, people, self.scenario.n_days)
        self._reach = Reach.draw(
            rng,
            n_customers=people.n_customers,
            n_terminals=people.n_terminals,
            radius=people.radius,
        )
        self._rate[self._reach.count == 0] = 0
        if not self._rate.any():
            raise ValueError(
                f"no customer has a terminal in reach; more of them, or radius: {people}"
            )
        self.customers = pa.table(
            {
                "customer_id": np.arange(people.n_customers),
                "mean_amount": self._mean,
                "payments_a_day": self._rate,
                "first_day": np.datetime64(self.scenario.start, "D") + self._arrival,
            }
        )
        world = World(n_terminals=people.n_terminals, mean_amount=self._mean, arrival=self._arrival)
        self._fraudsters: list[Fraudsters] = [
            fraudsters(fraud, number, world)
            for number, fraud in enumerate(self.scenario.frauds, start=1)
        ]

    def days(self, decide: Decide | None = None) -> Iterator[Day]:
        """Each day after the other; the same scenario and decisions, the same bytes.

        Args:
            decide: a policy, called with each day's transactions after that day. Fraudsters whose
                payments it declines answer from the next day on as their adversary says; the
                payments stay in the tables. Without one nothing is declined.

        Raises:
            ValueError: ``decide`` does not return one decision a transaction.
        """
        n_rows = 0
        for day in range(self.scenario.n_days):
            payments = self._payments(day)
            for number, who in enumerate(self._fraudsters):
                times = self.scenario.frauds_on(day)
                payments = who.act(self._rng(_FRAUDS, number, day), day, times, payments)
            tables = self._tables(day, payments, n_rows)
            n_rows += len(payments)
            yield tables
            if decide is not None:
                self._learn(day, payments, decide(tables.transactions))

    def episodes(self) -> pa.Table:
        """The episodes of the days that were simulated so far, with :data:`EPISODE_SCHEMA`."""
        start = np.datetime64(self.scenario.start, "D")
        rows = [
            {
                "fraud": fraud.name,
                "episode": it.number,
                "first_day": (start + it.first_day).item(),
                "end_day": (start + it.end_day).item(),
                "factor": it.factor,
                "customers": it.customers.tolist(),
                "terminals": it.terminals.tolist(),
            }
            for fraud, who in zip(self.scenario.frauds, self._fraudsters, strict=True)
            for it in who.started
        ]
        return pa.Table.from_pylist(rows, schema=EPISODE_SCHEMA)

    def _rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.scenario.seed, spawn_key=purpose))

    def _payments(self, day: int) -> Payments:
        """All payments of the day before any fraud."""
        rng = self._rng(_PAYMENTS, day)
        rate = self._rate * float(self.scenario.payments_on(day))
        number = np.where(self._arrival <= day, rng.poisson(rate), 0)
        customer = np.repeat(np.arange(len(number)), number)
        second = times_of_day(rng, len(customer))
        kept = (second > 0) & (second < SECONDS_A_DAY)
        customer, second = customer[kept], second[kept]
        amount = amounts(rng, self._mean[customer])
        return Payments.honest(second, customer, self._reach.draw_terminals(rng, customer), amount)

    def _learn(self, day: int, payments: Payments, decisions: Decisions) -> None:
        if np.shape(decisions) != (len(payments),):
            raise ValueError(
                f"decide must return one decision a transaction, {len(payments)} on day {day}, got"
                f" shape {np.shape(decisions)}"
            )
        declined = (decisions == Decision.DECLINE) & (payments.episode != NOBODY)
        for number, who in enumerate(self._fraudsters):
            of_it = payments.episode[declined & (payments.scenario == number + 1)]
            who.learn(self._rng(_ANSWERS, number, day), day, of_it)

    def _tables(self, day: int, payments: Payments, first_id: int) -> Day:
        ids = np.arange(first_id, first_id + len(payments))
        time = times_since(self.scenario.start, day * SECONDS_A_DAY + payments.second)
        int64 = pa.int64()
        fraud = pa.DictionaryArray.from_arrays(payments.scenario, list(self.scenario.names))
        episode = pa.array(payments.episode, mask=payments.episode == NOBODY)
        return Day(
            transactions=pa.table(
                [ids, time, payments.customer, payments.terminal, payments.amount],
                schema=transaction_schema(
                    transaction_id=int64, customer_id=int64, terminal_id=int64
                ),
            ),
            labels=label_table(
                ids, self._labelled_fraud(day, payments), time, self.scenario.labels.delay
            ),
            truth=pa.table([ids, payments.scenario, fraud, episode], schema=TRUTH_SCHEMA),
        )

    def _labelled_fraud(self, day: int, payments: Payments) -> Bools:
        """What investigators say: shape ``(N,)``."""
        labels, rng = self.scenario.labels, self._rng(_LABELS, day)
        is_fraud = payments.scenario != HONEST
        labelled: Bools = is_fraud & (rng.random(len(is_fraud)) >= labels.missed)
        wrong = rng.poisson(labels.false_alarms * is_fraud.sum())
        if wrong:
            labelled[rng.permutation(np.flatnonzero(~is_fraud))[:wrong]] = True
        return labelled


def simulate(scenario: Scenario, decide: Decide | None = None) -> Simulation:
    """All days of a scenario in memory; :class:`SimulatedWorld` gives one after the other.

    The same ``scenario`` and decisions give the same bytes.

    Raises:
        ValueError: no customer has a terminal in reach, or ``decide`` does not return one decision
            a transaction.
    """
    world = SimulatedWorld(scenario)
    days = list(world.days(decide))
    return Simulation(
        transactions=pa.concat_tables([day.transactions for day in days]),
        labels=pa.concat_tables([day.labels for day in days]),
        truth=pa.concat_tables([day.truth for day in days]),
        customers=world.customers,
    )


def _arrivals(rng: np.random.Generator, people: Population, n_days: int) -> Ints:
    """Of each customer, the first day on which it may pay: shape ``(C,)``."""
    is_new = rng.random(people.n_customers) < people.newcomers
    return np.where(is_new, rng.integers(0, n_days, people.n_customers), 0)
