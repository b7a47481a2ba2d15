"""From a calibrated score to a decision: approve, review or decline.

Two policies, both fitted on scores of payments that the model did not train on:

=======================  ========================================================================
:class:`CapacityPolicy`  two thresholds on the score, so that so many cards a day are reviewed
:class:`CostPolicy`      the decision of least expected cost, which also looks at the amount
=======================  ========================================================================

Both are monotone: for the same amount, a higher score never gets a milder decision.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fraud_ml._checks import Bools, Floats, check_amounts, check_probabilities, check_scores
from fraud_ml.metrics import threshold_steps

Decisions = npt.NDArray[np.int8]


class Decision(enum.IntEnum):
    """What happens to a payment; a larger number is harsher."""

    APPROVE = 0
    REVIEW = 1
    DECLINE = 2


class DecisionPolicy(abc.ABC):
    """How scores become decisions; stored with the model as JSON."""

    __slots__ = ()

    @abc.abstractmethod
    def decide(self, score: Floats, amount: Floats) -> Decisions:
        """A :class:`Decision` a payment, as ``int8``: shape ``(N,)``.

        Args:
            score: calibrated probabilities of fraud, shape ``(N,)``.
            amount: in currency, shape ``(N,)``.

        Raises:
            ValueError: shapes differ, a score is no probability, or an amount is negative or not
                finite.
        """

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads, of types that JSON has."""

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DecisionPolicy:
        """The policy that :meth:`to_json` described.

        Raises:
            ValueError: the kind is unknown, or fields are missing, surplus or out of range.
        """
        fields = dict(value)
        kind = fields.pop("kind", None)
        if kind not in _KINDS:
            raise ValueError(f"policy kind must be one of {', '.join(_KINDS)}, got {kind!r}")
        policy = _KINDS[kind]
        expected = {field.name for field in dataclasses.fields(policy)}
        if fields.keys() != expected:
            raise ValueError(f"a {kind} policy has {sorted(expected)}, got {sorted(fields)}")
        for name, number in fields.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise ValueError(f"{name} must be a number, got {number!r}")
        return policy(**{name: float(number) for name, number in fields.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class CapacityPolicy(DecisionPolicy):
    """Two thresholds on the score; amounts do not matter."""

    review_above: float
    """A score above it is reviewed, a probability."""
    decline_above: float = 1.0
    """A score above it is declined, a probability; with 1, none is."""

    def __post_init__(self) -> None:
        if not 0 <= self.review_above <= self.decline_above <= 1:
            raise ValueError(
                "thresholds must be 0 <= review_above <= decline_above <= 1, got"
                f" {self.review_above=} and {self.decline_above=}"
            )

    def decide(self, score: Floats, amount: Floats) -> Decisions:
        """As :meth:`DecisionPolicy.decide`."""
        _check(score, amount)
        reviewed = (score > self.review_above).astype(np.int8)
        return reviewed + (score > self.decline_above)  # what is declined is above both

    def to_json(self) -> dict[str, Any]:
        """As :meth:`DecisionPolicy.to_json`."""
        return {"kind": "capacity", **dataclasses.asdict(self)}


@dataclass(frozen=True, kw_only=True, slots=True)
class CostPolicy(DecisionPolicy):
    """The decision of least expected cost, of a payment with score ``p`` and amount ``a``.

    ========  ==================================  ============================================
    approve   ``p * a``                           a fraud costs its amount
    review    ``review_price``                    and finds out the truth
    decline   ``(1 - p) * wrong_decline_cost``    an honest customer is turned away
    ========  ==================================  ============================================

    Of equals, approve comes first, then decline: a review that gains nothing takes nobody's time.
    Bayes minimum risk, Bahnsen, Stojanovic, Aouada, Ottersten (2013), section III, with a third
    decision; Elkan: "The Foundations of Cost-Sensitive Learning" (2001).
    """

    review_price: float
    """In currency: the cost of a review, or more where there are too few investigators."""
    wrong_decline_cost: float
    """Of declining an honest payment, in currency: margin, and the customer's goodwill."""

    def __post_init__(self) -> None:
        for name in ("review_price", "wrong_decline_cost"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be finite and at least 0, got {value}")

    def decide(self, score: Floats, amount: Floats) -> Decisions:
        """As :meth:`DecisionPolicy.decide`."""
        _check(score, amount)
        approve, decline = _expected_costs(score, amount, self.wrong_decline_cost)
        decision = np.full(len(score), Decision.REVIEW, dtype=np.int8)
        decision[decline <= self.review_price] = Decision.DECLINE
        decision[approve <= np.minimum(self.review_price, decline)] = Decision.APPROVE
        return decision

    def to_json(self) -> dict[str, Any]:
        """As :meth:`DecisionPolicy.to_json`."""
        return {"kind": "cost", **dataclasses.asdict(self)}


_KINDS: dict[str, type[CapacityPolicy | CostPolicy]] = {
    "capacity": CapacityPolicy,
    "cost": CostPolicy,
}


def fit_capacity_policy(
    day: npt.NDArray[np.integer],
    customer: npt.NDArray[np.generic],
    is_fraud: Bools,
    score: Floats,
    *,
    cards_a_day: int,
    decline_precision: float | None = None,
) -> CapacityPolicy:
    """The policy that reviews at most ``cards_a_day`` cards a day, mean over the given days.

    First it declines: from the lowest score on, above which the share of frauds is at least
    ``decline_precision``. Of the rest it reviews what scores highest. A card is under review on a
    day if at least one of its payments is; unlike in CP@k, a card found compromised is not taken
    out of later days, so that fewer are reviewed than planned rather than more.

    Args:
        day: shape ``(N,)``.
        customer: id or number of each payment's customer, shape ``(N,)``.
        is_fraud: shape ``(N,)``.
        score: calibrated probabilities on validation payments, shape ``(N,)``.
        cards_a_day: what investigators can look at, at least 1.
        decline_precision: between 0 and 1; None declines nothing.

    Raises:
        ValueError: shapes differ, a score is no probability, there is no fraud, or an argument is
            out of range.
    """
    check_scores(is_fraud, score)
    check_probabilities(score)
    _check_capacity(day, customer, score, cards_a_day)
    decline_above = 1.0
    if decline_precision is not None:
        if not 0 < decline_precision <= 1:
            raise ValueError(f"decline_precision must be in (0, 1], got {decline_precision=}")
        decline_above = _decline_above(is_fraud, score, decline_precision)
    left = score <= decline_above
    # The declined count as days too, but take no investigator's time.
    value = np.where(left, score, 0.0)
    return CapacityPolicy(
        review_above=_price_of_capacity(day, customer, value, cards_a_day),
        decline_above=decline_above,
    )


def fit_cost_policy(
    day: npt.NDArray[np.integer],
    customer: npt.NDArray[np.generic],
    score: Floats,
    amount: Floats,
    *,
    review_cost: float,
    wrong_decline_cost: float,
    cards_a_day: int | None = None,
) -> CostPolicy:
    """The policy of least expected cost that reviews at most so many cards a day, on the mean.

    Without a capacity nothing is fitted: costs and calibrated scores say it all. With one, the
    price of a review rises from ``review_cost`` until what is reviewed fits: among the decisions
    that keep to the capacity, those then cost least (a Lagrange multiplier, exact but for ties,
    where a card's payments of a day are one review).

    Args:
        day: shape ``(N,)``.
        customer: id or number of each payment's customer, shape ``(N,)``.
        score: calibrated probabilities on validation payments, shape ``(N,)``.
        amount: in currency, shape ``(N,)``.
        review_cost: of one review, in currency.
        wrong_decline_cost: of declining an honest payment, in currency.
        cards_a_day: what investigators can look at, at least 1; None is without limit.

    Raises:
        ValueError: shapes differ, a score is no probability, or an argument is out of range.
    """
    _check(score, amount)
    policy = CostPolicy(review_price=review_cost, wrong_decline_cost=wrong_decline_cost)
    if cards_a_day is None:
        return policy
    _check_capacity(day, customer, score, cards_a_day)
    # A payment is reviewed where the price is below what the next best decision would cost.
    worth = np.minimum(*_expected_costs(score, amount, wrong_decline_cost))
    price = _price_of_capacity(day, customer, worth, cards_a_day)
    return dataclasses.replace(policy, review_price=max(review_cost, price))


def _expected_costs(
    score: Floats, amount: Floats, wrong_decline_cost: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of approving and of declining, in currency: shape ``(N,)`` each."""
    chance = score.astype(np.float64)
    return chance * amount, (1 - chance) * wrong_decline_cost


def _price_of_capacity(
    day: npt.NDArray[np.integer],
    customer: npt.NDArray[np.generic],
    value: Floats,
    cards_a_day: int,
) -> float:
    """The least number, at least 0, that so few cards a day exceed as there is capacity for."""
    days, day_code = np.unique(day, return_inverse=True)
    cards, card_code = np.unique(customer, return_inverse=True)
    pairs, pair = np.unique(day_code * len(cards) + card_code, return_inverse=True)
    capacity = cards_a_day * len(days)
    if len(pairs) <= capacity:
        return 0.0
    best = np.zeros(len(pairs))
    np.maximum.at(best, pair, value)
    return float(np.partition(best, len(best) - capacity - 1)[len(best) - capacity - 1])


def _decline_above(is_fraud: Bools, score: Floats, precision: float) -> float:
    """The lowest threshold above which the share of frauds is at least ``precision``; else 1."""
    steps = threshold_steps(is_fraud, score)
    # Flagged at step i are the scores at or above its threshold: those above the next one's.
    above = np.append(steps.threshold[1:], 0.0)
    enough = (steps.found >= precision * steps.flagged) & (steps.threshold > above)
    return float(above[np.flatnonzero(enough)[-1]]) if enough.any() else 1.0


def _check(score: Floats, amount: Floats) -> None:
    if score.ndim != 1:
        raise ValueError(f"score must have shape (N,), got {score.shape}")
    check_probabilities(score)
    check_amounts(amount, score)


def _check_capacity(
    day: npt.NDArray[np.integer],
    customer: npt.NDArray[np.generic],
    score: Floats,
    cards_a_day: int,
) -> None:
    if not len(day) == len(customer) == len(score) > 0:
        raise ValueError(
            f"one entry a payment, got {len(day)} days, {len(customer)} customers,"
            f" {len(score)} scores"
        )
    if cards_a_day < 1:
        raise ValueError(f"cards_a_day must be at least 1, got {cards_a_day=}")
