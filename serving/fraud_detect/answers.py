"""What callers get, as JSON: scores, decisions, reasons and explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"


class Reason(msgspec.Struct, frozen=True, gc=False):
    """A feature that raised a score."""

    feature: str
    value: float | None
    contribution: float
    """To the log-odds of fraud."""
    text: str


class Contribution(msgspec.Struct, frozen=True, gc=False):
    """What one feature did to a score."""

    value: float | None
    """The feature's; None where it was missing."""
    contribution: float
    """To the log-odds of fraud, against a usual payment's; negative: it lowered them."""


class Explanation(msgspec.Struct, frozen=True, gc=False):
    """How a score came about: contributions add up to ``log_odds - baseline``."""

    baseline: float
    """The log-odds of a usual payment."""
    log_odds: float
    """Of this one."""
    features: dict[str, Contribution]


class Scored(msgspec.Struct, frozen=True, gc=False):
    """A transaction's answer."""

    transaction_id: Any
    score: float
    """The probability of fraud, 0 to 1."""
    decision: str | None
    """``approve``, ``review`` or ``decline``; None where the model has no policy."""
    reasons: Sequence[Reason] | UnsetType = UNSET
    """The strongest first, where they were asked for."""
    explanation: Explanation | UnsetType = UNSET
    """Where it was asked for."""
    degraded: bool | UnsetType = UNSET
    """True: scored without its customer's and terminal's history."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """What a transaction gets that is invalid."""

    transaction_id: Any
    """As it was given, if it was."""
    error: str


class Model(msgspec.Struct, frozen=True, gc=False):
    """Which model answered."""

    name: str
    version: int


class One(Scored, frozen=True, gc=False, kw_only=True):
    """The answer to a request that is one transaction."""

    model: Model

    @classmethod
    def of(cls, scored: Scored, model: Model) -> One:
        """``scored``, and which model it is from."""
        fields = {name: getattr(scored, name) for name in scored.__struct_fields__}
        return cls(**fields, model=model)


class Many(msgspec.Struct, frozen=True, gc=False):
    """The answer to a request with a list of transactions, in its order."""

    transactions: Sequence[Scored | Refused]
    model: Model


class Error(msgspec.Struct, frozen=True, gc=False):
    """The answer to a request that cannot be read, or whose one transaction is invalid."""

    error: str


_encoder = msgspec.json.Encoder()


def encode(answer: One | Many | Error) -> bytes:
    """``answer`` as JSON."""
    return _encoder.encode(answer)
