"""What is simulated, as data: a :class:`Scenario` of people, seasons, bursts and frauds.

Each part is a frozen dataclass that checks itself, and TOML reads into it
(:mod:`fraud_ml.scenario_toml`). Numbers of days count from the first simulated day, which is 0.
The defaults are the Fraud Detection Handbook's (Le Borgne et al., 2022, section 3.2).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

_IN_DAY = math.erf(2.16 / math.sqrt(2))  # of times of day N(12 h, 20,000 s), those of the same day


@dataclass(frozen=True, slots=True)
class Range:
    """What a field may be, both ends included unless said otherwise."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    """The value itself is excluded."""

    def __str__(self) -> str:
        """As an error message says it."""
        limits = (
            ("above", self.above, -math.inf),
            ("at least", self.least, -math.inf),
            ("at most", self.most, math.inf),
        )
        said = [f"{how} {limit:g}" for how, limit, none in limits if limit != none]
        return " and ".join(said) or "any number"

    def holds(self, value: float) -> bool:
        """Whether ``value`` is within."""
        return self.least <= value <= self.most and value > self.above


def _number(default: float | None, **limits: float) -> Any:
    return field(default=default, metadata={"range": Range(**limits)})


def _check(part: Any) -> None:
    """Raises ``ValueError`` where a field of a part is out of its range."""
    for it in dataclasses.fields(part):
        value, allowed = getattr(part, it.name), it.metadata.get("range")
        if allowed is None or value is None:
            continue
        if not math.isfinite(value):
            raise ValueError(f"{it.name} must be finite, got {value}")
        if not allowed.holds(value):
            raise ValueError(f"{it.name} must be {allowed}, got {value}")
    until = getattr(part, "until_day", None)
    if until is not None and until <= part.first_day:
        raise ValueError(f"until_day must be after first_day {part.first_day}, got {until}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Population:
    """Who pays, and where."""

    n_customers: int = _number(5_000, least=1)
    n_terminals: int = _number(10_000, least=1)
    radius: float = _number(5.0, above=0)
    """How far a customer goes, on a map of 100 x 100."""
    mean_amount_least: float = _number(5.0, above=0)
    """Of the customers' mean amounts, in currency: uniform from here ..."""
    mean_amount_most: float = _number(100.0, above=0)
    """... to here; a customer's amounts deviate by half of its mean."""
    payments_a_day_most: float = _number(4.0, above=0)
    """Of the customers' mean payments a day: uniform from 0 to this."""
    newcomers: float = _number(0.0, least=0, most=1)
    """Share of the customers who pay for the first time on a day of the simulation, all alike;
    the others have always been there."""

    def __post_init__(self) -> None:
        _check(self)
        if self.mean_amount_most < self.mean_amount_least:
            raise ValueError(
                f"mean_amount_most must be at least mean_amount_least {self.mean_amount_least:g},"
                f" got {self.mean_amount_most}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelling:
    """What investigators find, and when. The truth keeps what was so."""

    delay_days: float = _number(7.0, least=0)
    """From a transaction to its label."""
    missed: float = _number(0.0, least=0, most=1)
    """Share of the frauds that are labelled honest."""
    false_alarms: float = _number(0.0, least=0)
    """Honest transactions labelled fraud, for each fraud of the same day."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def delay(self) -> dt.timedelta:
        """From a transaction to its label, to the microsecond."""
        return dt.timedelta(days=self.delay_days)


@dataclass(frozen=True, kw_only=True, slots=True)
class Season:
    """Payments rise and fall with the days: times ``1 + amplitude * cos(...)``."""

    period_days: float = _number(7.0, above=0)
    amplitude: float = _number(0.2, least=0, most=1)
    peak_day: float = _number(0.0)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Burst:
    """Days on which there are more payments, or on which more frauds begin."""

    first_day: int = _number(0, least=0)
    days: int = _number(1, least=1)
    payments: float = _number(1.0, least=0)
    """Times as many payments."""
    frauds: float = _number(1.0, least=0)
    """Times as many episodes of fraud begin."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Adversary:
    """How fraudsters answer a policy that declines: on the next day, never earlier."""

    patience: int = _number(1, least=1)
    """Declined payments of an episode until its fraudster changes something, each time."""
    amount_factor: float = _number(1.0, above=0, most=1)
    """Times the multiple of the usual amount that is asked for, but never below the usual."""
    moves: bool = True
    """Goes on elsewhere for the days that are left: at other terminals, or with another card."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class LargeAmounts:
    """Every payment above an amount is fraud."""

    name: str = "large_amount"
    first_day: int = _number(0, least=0)
    until_day: int | None = _number(None, least=1)
    """The day after the last; none: to the end."""
    above: float = _number(220.0, least=0)
    """In currency."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompromisedTerminals:
    """Payments at some terminals are fraud, for days; amounts are as always."""

    name: str = "terminal"
    first_day: int = _number(0, least=0)
    until_day: int | None = _number(None, least=1)
    """No episode begins on it or later; those that have begun go on."""
    a_day: float = _number(2.0, least=0)
    """Episodes that begin."""
    days: int = _number(28, least=1)
    """How long one lasts."""
    share: float = _number(1.0, above=0, most=1)
    """Of the terminal's payments, fraud."""
    adversary: Adversary | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompromisedCustomers:
    """Some payments of some customers are fraud, for days, and larger than theirs."""

    name: str = "customer"
    first_day: int = _number(0, least=0)
    until_day: int | None = _number(None, least=1)
    """No episode begins on it or later; those that have begun go on."""
    a_day: float = _number(3.0, least=0)
    """Episodes that begin."""
    days: int = _number(14, least=1)
    """How long one lasts."""
    share: float = _number(1 / 3, above=0, most=1)
    """Of the customer's payments, fraud."""
    factor: float = _number(5.0, least=1)
    """Times as large as the customer's own."""
    adversary: Adversary | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rings:
    """A ring's customers all pay at the ring's few terminals, beside what they pay anyway."""

    name: str = "ring"
    first_day: int = _number(0, least=0)
    until_day: int | None = _number(None, least=1)
    """No episode begins on it or later; those that have begun go on."""
    a_day: float = _number(0.2, least=0)
    """Rings that begin."""
    days: int = _number(10, least=1)
    """How long one lasts."""
    customers: int = _number(15, least=1)
    terminals: int = _number(2, least=1)
    payments_a_day: float = _number(1.0, above=0)
    """Of each of its customers, for the ring."""
    factor: float = _number(1.5, least=1)
    """Times as large as the customer's own."""
    adversary: Adversary | None = None

    def __post_init__(self) -> None:
        _check(self)


Fraud: TypeAlias = LargeAmounts | CompromisedTerminals | CompromisedCustomers | Rings
KINDS: dict[str, type[Fraud]] = {
    "large_amounts": LargeAmounts,
    "terminals": CompromisedTerminals,
    "customers": CompromisedCustomers,
    "rings": Rings,
}
"""A fraud's ``kind`` in TOML to its class."""
HANDBOOK_FRAUDS: tuple[Fraud, ...] = (
    LargeAmounts(),
    CompromisedTerminals(),
    CompromisedCustomers(),
)
"""The handbook's three, in its order."""
_MOST_FRAUDS = 100  # codes are of 8 bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """All that is simulated. The default is the handbook's published data set's process."""

    seed: int = _number(0, least=0)
    start: dt.date = dt.date(2018, 4, 1)
    n_days: int = _number(183, least=1)
    population: Population = Population()
    labels: Labelling = Labelling()
    seasons: tuple[Season, ...] = ()
    """Multiplied with each other."""
    bursts: tuple[Burst, ...] = ()
    """Multiplied with each other."""
    frauds: tuple[Fraud, ...] = HANDBOOK_FRAUDS
    """A later one overwrites an earlier one; their numbers in the truth are 1, 2, ..."""

    def __post_init__(self) -> None:
        _check(self)
        names = [fraud.name for fraud in self.frauds]
        if "" in names or "honest" in names or len(set(names)) < len(names):
            raise ValueError(
                f"frauds must have different names, none of them empty or 'honest', got {names}"
            )
        if len(names) > _MOST_FRAUDS:
            raise ValueError(f"frauds must be at most {_MOST_FRAUDS}, got {len(names)}")
        for fraud in self.frauds:
            self._check_ring(fraud)

    def _check_ring(self, fraud: Fraud) -> None:
        if isinstance(fraud, Rings):
            for what in ("customers", "terminals"):
                there, needed = getattr(self.population, f"n_{what}"), getattr(fraud, what)
                if needed > there:
                    raise ValueError(
                        f"{what} of {fraud.name} must be at most n_{what} {there}, got {needed}"
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Of each number in the truth: ``honest``, and the frauds'."""
        return ("honest", *(fraud.name for fraud in self.frauds))

    def payments_on(self, days: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """How many times the usual number of payments is made on ``days``, of the same shape."""
        day = np.asarray(days, dtype=np.float64)
        times = np.ones(day.shape)
        for season in self.seasons:
            phase = 2 * np.pi * (day - season.peak_day) / season.period_days
            times *= 1 + season.amplitude * np.cos(phase)
        for burst in self.bursts:
            times[_within(burst, day)] *= burst.payments
        return times

    def frauds_on(self, day: int) -> float:
        """How many times the usual number of episodes begins on ``day``."""
        of_bursts = [it.frauds for it in self.bursts if _within(it, np.asarray(day))]
        return math.prod(of_bursts)


def _within(burst: Burst, day: npt.NDArray[Any]) -> Any:
    return (day >= burst.first_day) & (day < burst.first_day + burst.days)


def expected_rows(scenario: Scenario) -> float:
    """The mean number of transactions, rings left out and every customer with a terminal near."""
    people, days = scenario.population, np.arange(scenario.n_days)
    # A newcomer's first day is uniform over all days.
    there = 1 - people.newcomers * (1 - (days + 1) / scenario.n_days)
    a_day = people.n_customers * people.payments_a_day_most / 2 * _IN_DAY
    return float(a_day * (scenario.payments_on(days) * there).sum())


def scaled(scenario: Scenario, n_rows: int) -> Scenario:
    """The scenario with about ``n_rows`` transactions, by more or fewer people and terminals.

    The map gets as dense, so the radius shrinks: a customer has as many terminals in reach as
    before, and the rate of fraud stays because episodes grow in number alike.
    """
    times = n_rows / expected_rows(scenario)
    people = scenario.population
    return dataclasses.replace(
        scenario,
        population=dataclasses.replace(
            people,
            n_customers=max(round(people.n_customers * times), 1),
            n_terminals=max(round(people.n_terminals * times), 1),
            radius=people.radius / math.sqrt(times),
        ),
        frauds=_more_often(scenario.frauds, times),
    )


def _more_often(frauds: Sequence[Fraud], times: float) -> tuple[Fraud, ...]:
    return tuple(
        fraud
        if isinstance(fraud, LargeAmounts)
        else dataclasses.replace(fraud, a_day=fraud.a_day * times)
        for fraud in frauds
    )
