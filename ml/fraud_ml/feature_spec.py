"""What the features are, as data: the one definition that every engine reads.

A :class:`FeatureSpec` travels inside the model artifact, so that whoever scores computes exactly
what the model was trained on.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fraud_ml.transactions import DEFAULT_LABEL_DELAY


class RowValue(StrEnum):
    """What a transaction says about itself."""

    AMOUNT = "amount"
    IS_WEEKEND = "is_weekend"
    IS_NIGHT = "is_night"


class Key(StrEnum):
    """Whose history a window covers: the column that names it."""

    CUSTOMER = "customer_id"
    TERMINAL = "terminal_id"


class Aggregate(StrEnum):
    """What a window is reduced to."""

    COUNT = "count"
    MEAN_AMOUNT = "mean_amount"
    FRAUD_RATE = "fraud_rate"


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFeature:
    """A feature of the transaction alone."""

    name: str
    value: RowValue


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowFeature:
    """An aggregate over one key's transactions in ``(t - delay - window, t - delay]``.

    ``t`` is the current transaction's time. Without a delay the window includes the current
    transaction, and of those at the same instant the ones in earlier rows.
    """

    name: str
    key: Key
    aggregate: Aggregate
    window: dt.timedelta
    delay: dt.timedelta = dt.timedelta(0)

    def __post_init__(self) -> None:
        if self.window <= dt.timedelta(0):
            raise ValueError(f"{self.name}: window must be positive, got {self.window=}")
        if self.delay < dt.timedelta(0):
            raise ValueError(f"{self.name}: delay must not be negative, got {self.delay=}")


Feature = RowFeature | WindowFeature


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSpec:
    """Features in the order in which a model takes them."""

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        if not self.features:
            raise ValueError("a spec must have at least one feature, got none")
        repeated = [name for name, times in Counter(self.names).items() if times > 1]
        if repeated:
            raise ValueError(f"feature names must be unique, got {repeated=}")

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    def to_json(self) -> list[dict[str, Any]]:
        """A JSON value that :meth:`from_json` turns back into an equal spec; times in seconds."""
        return [_feature_to_json(feature) for feature in self.features]

    @classmethod
    def from_json(cls, value: Iterable[Mapping[str, Any]]) -> FeatureSpec:
        """The spec that :meth:`to_json` wrote.

        Raises:
            ValueError: ``value`` is none, as from a newer version with other aggregates.
        """
        try:
            return cls(features=tuple(_feature_from_json(item) for item in value))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a feature spec: {error!r}") from error


def _feature_to_json(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, RowFeature):
        return {"name": feature.name, "value": feature.value.value}
    return {
        "name": feature.name,
        "key": feature.key.value,
        "aggregate": feature.aggregate.value,
        "window_seconds": feature.window.total_seconds(),
        "delay_seconds": feature.delay.total_seconds(),
    }


def _feature_from_json(item: Mapping[str, Any]) -> Feature:
    if "value" in item:
        return RowFeature(name=item["name"], value=RowValue(item["value"]))
    return WindowFeature(
        name=item["name"],
        key=Key(item["key"]),
        aggregate=Aggregate(item["aggregate"]),
        window=dt.timedelta(seconds=item["window_seconds"]),
        delay=dt.timedelta(seconds=item["delay_seconds"]),
    )


def handbook_spec(*, label_delay: dt.timedelta = DEFAULT_LABEL_DELAY) -> FeatureSpec:
    """The 15 features of the Fraud Detection Handbook, section 3.4 (Le Borgne et al., 2022).

    Terminal windows end ``label_delay`` before the transaction, so that the labels in them are
    known by then.
    """
    features: list[Feature] = [
        RowFeature(name="amount", value=RowValue.AMOUNT),
        RowFeature(name="is_weekend", value=RowValue.IS_WEEKEND),
        RowFeature(name="is_night", value=RowValue.IS_NIGHT),
    ]
    for key, aggregate, delay in (
        (Key.CUSTOMER, Aggregate.MEAN_AMOUNT, dt.timedelta(0)),
        (Key.TERMINAL, Aggregate.FRAUD_RATE, label_delay),
    ):
        who = key.value.removesuffix("_id")
        for days in (1, 7, 30):
            features += [
                WindowFeature(
                    name=f"{who}_{reduced.value}_{days}d",
                    key=key,
                    aggregate=reduced,
                    window=dt.timedelta(days=days),
                    delay=delay,
                )
                for reduced in (Aggregate.COUNT, aggregate)
            ]
    return FeatureSpec(features=tuple(features))


HANDBOOK_SPEC = handbook_spec()
