"""The best score that anyone could give, who knows how the simulator works but not its dice.

For each transaction of a simulation, the probability of fraud given everything known at that time:
how the simulator draws (its rates, its rules, every customer's true mean amount), all transactions
so far, and all labels that are out. What a model leaves of it is room to improve; what the oracle
leaves of 1 is chance.

With the scenarios of past frauds (:class:`Knowledge`), the transaction's two ways to become a fraud
have separate evidence, and each is a hidden Markov model that is filtered exactly
(:mod:`fraud_ml._episodes`):

- its terminal is in an episode of 28 days: labels say so, or say that it was not;
- its customer is in an episode of 14 days: labels say so, amounts of the unlabelled week hint at
  it; and this payment is one of the third that was multiplied by 5: its own amount against the
  customer's distribution says how likely.

An amount above 220 is fraud in every scenario. One thing is left out, so that the bound is
not tight: two and three episodes begin on every day, exactly; here they do in the mean. An episode
found lowers the chance of all others a little.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml._episodes import Episodes, Evidence, Rows, chance_in_episode
from fraud_ml._simulated import Floats, Ints
from fraud_ml.scenario import (
    HANDBOOK_FRAUDS,
    CompromisedCustomers,
    CompromisedTerminals,
    LargeAmounts,
    Scenario,
)
from fraud_ml.simulator import Simulation

_LARGE, _TERMINALS, _CUSTOMERS = LargeAmounts(), CompromisedTerminals(), CompromisedCustomers()
_NEGATIVE = 0.5 * math.erfc(2 / math.sqrt(2))  # of amounts, redrawn: mean is two deviations
_MAX_LOG = 60.0  # nothing is surer than exp of it
_PASSES = 3  # of guessing scenarios; a fourth moved no AP by 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class Knowledge:
    """What the oracle knows that an investigator or a feature might not."""

    scenarios: bool = True
    """Labels say which kind of fraud. With False they say only that it is one: each known fraud
    is put down to terminal or customer by what was known when it was paid, an approximation from
    below, so that the limit lies between the two."""
    cents: bool = True
    """Amounts times 5 are whole multiples of 0.05, a trace of the simulator's rounding that tells
    four in five honest payments apart. With False it goes unused."""


def oracle_scores(
    simulation: Simulation, scenario: Scenario, knowledge: Knowledge | None = None
) -> Floats:
    """The probability of fraud of every transaction, from what was known at its time: ``(N,)``.

    No transaction after it, no label that came later, and not its own label has any influence.

    Args:
        simulation: what :func:`~fraud_ml.simulator.simulate` returned.
        scenario: for this. The oracle knows the handbook's process: its three frauds, nothing that
            changes with the days, and labels that are right.
        knowledge: all of it unless given.

    Raises:
        ValueError: the scenario is of another process, of which the oracle would know wrong.
    """
    _check(scenario)
    knowledge = knowledge or Knowledge()
    payments = _Payments.read(simulation, scenario)
    ratio = payments.log_ratio(cents=knowledge.cents)
    if knowledge.scenarios:
        at_terminal, of_customer = _chances(payments, scenario, ratio, _told(payments))
        return _score(payments, at_terminal, of_customer, ratio)
    at_terminal = np.full(len(ratio), _terminals(scenario).usual_chance)
    of_customer = np.full(len(ratio), _customers(scenario).usual_chance)
    for _ in range(_PASSES):
        told = _guessed(payments, ratio, at_terminal, of_customer)
        at_terminal, of_customer = _chances(payments, scenario, ratio, told)
    return _score(payments, at_terminal, of_customer, ratio)


def _check(scenario: Scenario) -> None:
    labels = scenario.labels
    other = [
        what
        for what, changed in (
            ("frauds", scenario.frauds != HANDBOOK_FRAUDS),
            ("seasons", scenario.seasons != ()),
            ("bursts", scenario.bursts != ()),
            ("newcomers", scenario.population.newcomers > 0),
            ("wrong labels", labels.missed > 0 or labels.false_alarms > 0),
        )
        if changed
    ]
    if other:
        raise ValueError(
            "the oracle knows only the handbook's process; this scenario has other:"
            f" {', '.join(other)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Payments:
    """Columns of the transactions in time order, shape ``(N,)`` each, and the hidden ones."""

    second: Ints
    customer: Ints
    terminal: Ints
    amount: Floats
    scenario: npt.NDArray[np.int8]
    mean: Floats  # of the customer's amounts

    @classmethod
    def read(cls, simulation: Simulation, scenario: Scenario) -> _Payments:
        table = simulation.transactions
        start = dt.datetime.combine(scenario.start, dt.time(), tzinfo=dt.UTC)
        microsecond = table["timestamp"].cast(pa.int64()).to_numpy()
        customer = table["customer_id"].to_numpy()
        return cls(
            second=microsecond // 1_000_000 - int(start.timestamp()),
            customer=customer,
            terminal=table["terminal_id"].to_numpy(),
            amount=table["amount"].to_numpy(),
            scenario=simulation.truth["scenario"].to_numpy(),
            mean=simulation.customers["mean_amount"].to_numpy()[customer],
        )

    def log_ratio(self, *, cents: bool) -> Floats:
        """How much likelier the amount is as a multiplied one than as it is, in logarithms."""
        ratio = _log_density(self.amount / _CUSTOMERS.factor, self.mean)
        ratio -= _log_density(self.amount, self.mean)
        if cents:
            # Five times as many multiplied amounts fall on a multiple of 0.05, and none beside.
            whole = np.round(self.amount * 100).astype(np.int64) % int(_CUSTOMERS.factor) == 0
            ratio[~whole] = -np.inf
        else:
            ratio -= math.log(_CUSTOMERS.factor)
        clipped: Floats = np.minimum(ratio, _MAX_LOG)
        return clipped


def _log_density(amount: Floats, mean: Floats) -> Floats:
    """Of the simulator's amounts before any fraud: normal, negative ones redrawn uniformly."""
    deviation = mean / 2
    normal = -0.5 * ((amount - mean) / deviation) ** 2 - np.log(deviation * math.sqrt(2 * math.pi))
    redrawn = np.where(amount <= 2 * mean, np.log(_NEGATIVE / (2 * mean)), -np.inf)
    density: Floats = np.logaddexp(normal, redrawn)
    return density


def _told(payments: _Payments) -> tuple[Floats, Floats]:
    """What a label with its scenario says of terminal and customer, as log ratios: (N,) each."""
    honest_at_terminal = payments.scenario <= 1  # 2 would have overwritten it
    terminal = np.select(
        [payments.scenario == 2, honest_at_terminal], [np.inf, -np.inf], default=0.0
    )
    customer = np.where(payments.scenario == 3, np.inf, np.log1p(-_CUSTOMERS.share))
    return terminal, customer


def _guessed(
    payments: _Payments, ratio: Floats, at_terminal: Floats, of_customer: Floats
) -> tuple[Floats, Floats]:
    """What a label without its scenario says of terminal and customer, as log ratios: (N,) each.

    Each is told what the other was thought to be when the payment was made.
    """
    fraud = payments.scenario > 0
    obvious = payments.amount > _LARGE.above  # fraud whatever the terminal
    multiplied = _multiplied(of_customer, ratio)
    without_terminal = np.where(obvious, 1.0, np.clip(multiplied, 1e-12, 1.0))
    terminal = np.where(fraud, -np.log(without_terminal), -np.inf)
    without_customer = np.where(obvious, 1.0, np.clip(at_terminal, 1e-12, 1.0))
    as_fraud = np.log1p(_CUSTOMERS.share * np.expm1(ratio - np.log(without_customer)))
    customer = np.where(fraud, as_fraud, np.log1p(-_CUSTOMERS.share))
    return terminal, customer


def _terminals(scenario: Scenario) -> Episodes:
    return Episodes(
        rate=_chance_to_begin(_TERMINALS.a_day, scenario.population.n_terminals),
        days=_TERMINALS.days,
    )


def _customers(scenario: Scenario) -> Episodes:
    return Episodes(
        rate=_chance_to_begin(_CUSTOMERS.a_day, scenario.population.n_customers),
        days=_CUSTOMERS.days,
    )


def _chance_to_begin(a_day: float, n: int) -> float:
    """That of a day's episodes, each of any of ``n`` alike, one or more are of a given one."""
    return 1 - math.pow(1 - 1 / n, a_day)


def _chances(
    payments: _Payments, scenario: Scenario, ratio: Floats, told: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """That the terminal and that the customer is in an episode, before this amount: (N,) each."""
    people = scenario.population
    by_label = -(-scenario.labels.delay // dt.timedelta(seconds=1))  # rounded up

    def rows(key: Ints, n_keys: int) -> Rows:
        return Rows(
            second=payments.second,
            key=key,
            n_keys=n_keys,
            n_days=scenario.n_days,
            label_delay=by_label,
        )

    terminal, customer = told
    amounts = np.log1p(_CUSTOMERS.share * np.expm1(ratio))
    return (
        chance_in_episode(
            rows(payments.terminal, people.n_terminals),
            Evidence(early=np.zeros(len(ratio)), labelled=terminal),
            _terminals(scenario),
        ),
        chance_in_episode(
            rows(payments.customer, people.n_customers),
            Evidence(early=amounts, labelled=customer),
            _customers(scenario),
        ),
    )


def _multiplied(of_customer: Floats, ratio: Floats) -> Floats:
    """Probability that the payment is of scenario 3, with its own amount: (N,)."""
    fraud = of_customer * _CUSTOMERS.share * np.exp(ratio)
    chance: Floats = fraud / (fraud + 1 - of_customer * _CUSTOMERS.share)
    return chance


def _score(payments: _Payments, at_terminal: Floats, of_customer: Floats, ratio: Floats) -> Floats:
    honest = (1 - at_terminal) * (1 - _multiplied(of_customer, ratio))
    score: Floats = np.where(payments.amount > _LARGE.above, 1.0, 1 - honest)
    return score
