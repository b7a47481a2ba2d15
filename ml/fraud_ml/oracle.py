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

An amount above 220 is fraud in every scenario. What is left out, so that the bound is not tight:

- Of the ``n`` payments of a day's three customers in their episodes exactly ``n // 3`` are fraud;
  here each is, independently, with the expected share.
- Two and three episodes begin on every day, exactly; here on the mean. An episode found lowers
  the chance of all others a little.
- Two overlapping episodes of one customer may multiply by 25; here by 5.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml._episodes import Episodes, Evidence, Floats, Ints, Rows, chance_in_episode
from fraud_ml.simulator import (
    CUSTOMER_DAYS,
    CUSTOMER_FACTOR,
    CUSTOMER_SHARE,
    CUSTOMERS_A_DAY,
    LARGE_AMOUNT,
    TERMINAL_DAYS,
    TERMINALS_A_DAY,
    Simulation,
    SimulatorConfig,
)

_NEGATIVE = 0.5 * math.erfc(2 / math.sqrt(2))  # of amounts, redrawn: mean is two deviations
_IN_DAY = math.erf(2.16 / math.sqrt(2))  # of times of day N(12 h, 20,000 s), kept
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
    simulation: Simulation, config: SimulatorConfig, knowledge: Knowledge | None = None
) -> Floats:
    """The probability of fraud of every transaction, from what was known at its time: ``(N,)``.

    No transaction after it, no label that came later, and not its own label has any influence.

    Args:
        simulation: what :func:`~fraud_ml.simulator.simulate` returned.
        config: for this.
        knowledge: all of it unless given.
    """
    knowledge = knowledge or Knowledge()
    payments = _Payments.read(simulation, config)
    ratio = payments.log_ratio(cents=knowledge.cents)
    if knowledge.scenarios:
        at_terminal, of_customer = _chances(payments, config, ratio, _told(payments))
        return _score(payments, at_terminal, of_customer, ratio)
    at_terminal = np.full(len(ratio), 1 - (1 - _terminals(config).rate) ** TERMINAL_DAYS)
    of_customer = np.full(len(ratio), 1 - (1 - _customers(config).rate) ** CUSTOMER_DAYS)
    for _ in range(_PASSES):
        told = _guessed(payments, ratio, at_terminal, of_customer)
        at_terminal, of_customer = _chances(payments, config, ratio, told)
    return _score(payments, at_terminal, of_customer, ratio)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Payments:
    """Columns of the transactions in time order, shape ``(N,)`` each, and the hidden ones."""

    second: Ints
    customer: Ints
    terminal: Ints
    amount: Floats
    scenario: npt.NDArray[np.int8]
    mean: Floats  # of the customer's amounts
    share: float  # of the payments of customers in an episode, fraud

    @classmethod
    def read(cls, simulation: Simulation, config: SimulatorConfig) -> _Payments:
        table = simulation.transactions
        start = dt.datetime.combine(config.start, dt.time(), tzinfo=dt.UTC)
        microsecond = table["timestamp"].cast(pa.int64()).to_numpy()
        customer = table["customer_id"].to_numpy()
        return cls(
            second=microsecond // 1_000_000 - int(start.timestamp()),
            customer=customer,
            terminal=table["terminal_id"].to_numpy(),
            amount=table["amount"].to_numpy(),
            scenario=simulation.truth["scenario"].to_numpy(),
            mean=simulation.customers["mean_amount"].to_numpy()[customer],
            share=_fraud_share(simulation.customers["payments_a_day"].to_numpy()),
        )

    def log_ratio(self, *, cents: bool) -> Floats:
        """How much likelier the amount is as a multiplied one than as it is, in logarithms."""
        ratio = _log_density(self.amount / CUSTOMER_FACTOR, self.mean)
        ratio -= _log_density(self.amount, self.mean)
        if cents:
            # Five times as many multiplied amounts fall on a multiple of 0.05, and none beside.
            whole = np.round(self.amount * 100).astype(np.int64) % int(CUSTOMER_FACTOR) == 0
            ratio[~whole] = -np.inf
        else:
            ratio -= math.log(CUSTOMER_FACTOR)
        clipped: Floats = np.minimum(ratio, _MAX_LOG)
        return clipped


def _log_density(amount: Floats, mean: Floats) -> Floats:
    """Of the simulator's amounts before any fraud: normal, negative ones redrawn uniformly."""
    deviation = mean / 2
    normal = -0.5 * ((amount - mean) / deviation) ** 2 - np.log(deviation * math.sqrt(2 * math.pi))
    redrawn = np.where(amount <= 2 * mean, np.log(_NEGATIVE / (2 * mean)), -np.inf)
    density: Floats = np.logaddexp(normal, redrawn)
    return density


def _fraud_share(payments_a_day: Floats) -> float:
    """The share of payments in an episode of scenario 3 that are fraud.

    ``E[n // 3] / E[n]`` for the Poisson number n of payments of the three customers that a day
    draws: a little less than a third.
    """
    expected = CUSTOMERS_A_DAY * CUSTOMER_DAYS * _IN_DAY * max(float(payments_a_day.mean()), 1e-9)
    n = np.arange(1, int(expected + 12 * math.sqrt(expected) + 20))
    probability = np.exp(n * math.log(expected) - expected - np.cumsum(np.log(n)))
    return float(probability @ (n // CUSTOMER_SHARE)) / expected


def _told(payments: _Payments) -> tuple[Floats, Floats]:
    """What a label with its scenario says of terminal and customer, as log ratios: (N,) each."""
    honest_at_terminal = payments.scenario <= 1  # 2 would have overwritten it
    terminal = np.select(
        [payments.scenario == 2, honest_at_terminal], [np.inf, -np.inf], default=0.0
    )
    customer = np.where(payments.scenario == 3, np.inf, np.log1p(-payments.share))
    return terminal, customer


def _guessed(
    payments: _Payments, ratio: Floats, at_terminal: Floats, of_customer: Floats
) -> tuple[Floats, Floats]:
    """What a label without its scenario says of terminal and customer, as log ratios: (N,) each.

    Each is told what the other was thought to be when the payment was made.
    """
    fraud = payments.scenario > 0
    obvious = payments.amount > LARGE_AMOUNT  # fraud whatever the terminal
    multiplied = _multiplied(payments, of_customer, ratio)
    without_terminal = np.where(obvious, 1.0, np.clip(multiplied, 1e-12, 1.0))
    terminal = np.where(fraud, -np.log(without_terminal), -np.inf)
    without_customer = np.where(obvious, 1.0, np.clip(at_terminal, 1e-12, 1.0))
    as_fraud = np.log1p(payments.share * np.expm1(ratio - np.log(without_customer)))
    customer = np.where(fraud, as_fraud, np.log1p(-payments.share))
    return terminal, customer


def _terminals(config: SimulatorConfig) -> Episodes:
    return Episodes(rate=TERMINALS_A_DAY / config.n_terminals, days=TERMINAL_DAYS)


def _customers(config: SimulatorConfig) -> Episodes:
    return Episodes(rate=CUSTOMERS_A_DAY / config.n_customers, days=CUSTOMER_DAYS)


def _chances(
    payments: _Payments, config: SimulatorConfig, ratio: Floats, told: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """That the terminal and that the customer is in an episode, before this amount: (N,) each."""
    by_label = _ceil_seconds(config.label_delay)

    def rows(key: Ints, n_keys: int) -> Rows:
        return Rows(
            second=payments.second,
            key=key,
            n_keys=n_keys,
            n_days=config.n_days,
            label_delay=by_label,
        )

    terminal, customer = told
    amounts = np.log1p(payments.share * np.expm1(ratio))
    return (
        chance_in_episode(
            rows(payments.terminal, config.n_terminals),
            Evidence(early=np.zeros(len(ratio)), labelled=terminal),
            _terminals(config),
        ),
        chance_in_episode(
            rows(payments.customer, config.n_customers),
            Evidence(early=amounts, labelled=customer),
            _customers(config),
        ),
    )


def _multiplied(payments: _Payments, of_customer: Floats, ratio: Floats) -> Floats:
    """Probability that the payment is of scenario 3, with its own amount: (N,)."""
    fraud = of_customer * payments.share * np.exp(ratio)
    chance: Floats = fraud / (fraud + 1 - of_customer * payments.share)
    return chance


def _score(payments: _Payments, at_terminal: Floats, of_customer: Floats, ratio: Floats) -> Floats:
    honest = (1 - at_terminal) * (1 - _multiplied(payments, of_customer, ratio))
    score: Floats = np.where(payments.amount > LARGE_AMOUNT, 1.0, 1 - honest)
    return score


def _ceil_seconds(delay: dt.timedelta) -> int:
    return -(-delay // dt.timedelta(seconds=1))
