"""What the features are, as data: the one definition that every engine reads.

A :class:`FeatureSpec` travels inside the model artifact, so that whoever scores computes exactly
what the model was trained on.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

FORMAT_VERSION = 2
"""Of the JSON and TOML forms. Version 1 was a bare list of features, and is still read."""


class RowValue(StrEnum):
    """What a transaction says about itself."""

    AMOUNT = "amount"
    IS_WEEKEND = "is_weekend"
    IS_NIGHT = "is_night"


class ColumnKind(StrEnum):
    """How a column of the user's becomes a feature."""

    NUMERIC = "numeric"
    """The number itself."""
    CATEGORY = "category"
    """A code of the value, without order: equal values and (almost) no others have the same."""


class Key(StrEnum):
    """The columns that usually name whose history a window covers."""

    CUSTOMER = "customer_id"
    TERMINAL = "terminal_id"


class Aggregate(StrEnum):
    """What a window is reduced to; ``fraud_ml.features`` defines each."""

    COUNT = "count"
    SUM_AMOUNT = "sum_amount"
    MEAN_AMOUNT = "mean_amount"
    MAX_AMOUNT = "max_amount"
    STD_AMOUNT = "std_amount"
    AMOUNT_TO_MEAN = "amount_to_mean"
    AMOUNT_TO_MEDIAN = "amount_to_median"
    AMOUNT_ROBUST_Z = "amount_robust_z"
    MAX_AMOUNT_TO_MEDIAN = "max_amount_to_median"
    UNUSUAL_COUNT = "unusual_count"
    TIME_SINCE_LAST = "time_since_last"
    HISTORY_LENGTH = "history_length"
    DISTINCT = "distinct"
    NTH_LAST_AMOUNT = "nth_last_amount"
    NTH_LAST_AGE = "nth_last_age"
    FRAUD_COUNT = "fraud_count"
    FRAUD_RATE = "fraud_rate"
    LAST_LABEL = "last_label"
    FRAUD_AGE = "fraud_age"
    FRAUD_RUN_AGE = "fraud_run_age"
    FRAUD_RUN_LENGTH = "fraud_run_length"
    LAST_FRAUD_AMOUNT = "last_fraud_amount"


OF_LABELS = frozenset(
    {
        Aggregate.FRAUD_COUNT,
        Aggregate.FRAUD_RATE,
        Aggregate.LAST_LABEL,
        Aggregate.FRAUD_AGE,
        Aggregate.FRAUD_RUN_AGE,
        Aggregate.FRAUD_RUN_LENGTH,
        Aggregate.LAST_FRAUD_AMOUNT,
    }
)
"""Aggregates of what is known to be fraud."""

OF_NTH_LAST = frozenset({Aggregate.NTH_LAST_AMOUNT, Aggregate.NTH_LAST_AGE})
"""Aggregates of one transaction, the key's ``nth`` before this one."""

WITHOUT_WINDOW = OF_NTH_LAST | {
    Aggregate.AMOUNT_TO_MEDIAN,
    Aggregate.AMOUNT_ROBUST_Z,
    Aggregate.HISTORY_LENGTH,
}
"""Aggregates of all the key's past, or of its last few transactions however old."""

MAX_NTH = 64
"""How far back :data:`OF_NTH_LAST` may look; an engine that runs forever keeps that many a key."""

_LARGEST_BOUND = 1e38  # there are larger numbers of float32
_MAX_UNLESS = 62  # the running state keeps a bit of a number for each

_WITHOUT_DELAY = WITHOUT_WINDOW | {Aggregate.DISTINCT}
# A payment's own label is never known, so a window that ends with it has no last label.
_WITH_DELAY = OF_LABELS - {Aggregate.FRAUD_COUNT, Aggregate.FRAUD_RATE}

_OF_AMOUNTS = frozenset(
    {
        Aggregate.SUM_AMOUNT,
        Aggregate.MEAN_AMOUNT,
        Aggregate.MAX_AMOUNT,
        Aggregate.STD_AMOUNT,
        Aggregate.AMOUNT_TO_MEAN,
        Aggregate.AMOUNT_TO_MEDIAN,
        Aggregate.AMOUNT_ROBUST_Z,
        Aggregate.MAX_AMOUNT_TO_MEDIAN,
        Aggregate.UNUSUAL_COUNT,
        Aggregate.NTH_LAST_AMOUNT,
        Aggregate.LAST_FRAUD_AMOUNT,
    }
)
_Kind = TypeVar("_Kind", bound=StrEnum)

# The first two are every row's own, the others are what a model is to find out.
_NO_FEATURES = ("transaction_id", "timestamp", "is_fraud", "labelled_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFeature:
    """A feature of the transaction alone."""

    name: str
    value: RowValue

    @property
    def reads(self) -> tuple[str, ...]:
        """The transactions' columns that it needs, beside ``timestamp``."""
        return ("amount",) if self.value is RowValue.AMOUNT else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnFeature:
    """A column of the user's, as it stands in the transaction; NaN where it is null."""

    name: str
    column: str
    kind: ColumnKind

    def __post_init__(self) -> None:
        if not isinstance(self.column, str) or not self.column:
            raise ValueError(f"{self.name}: column must be a name, got {self.column!r}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The transactions' columns that it needs, beside ``timestamp``."""
        return (str(self.column),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unless:
    """Which known frauds count for nothing: those whose ``feature`` was above a bound.

    A stolen card's fraud, of an amount that is unusual for its customer, says little about the
    terminal where it happened. The value that decides is the one from when the transaction came,
    as a model takes it (float32); one that is missing is not above anything.
    """

    feature: str
    """The name of a feature of the spec, one that looks at no labels: those may come late."""
    above: float

    def __post_init__(self) -> None:
        if not abs(self.above) <= _LARGEST_BOUND:  # NaN is not
            raise ValueError(f"unless: above must be within {_LARGEST_BOUND}, got {self.above!r}")

    @property
    def bound(self) -> float:
        """The largest value that is not above, once both are rounded to float32."""
        single = np.float32(self.above)
        halfway = (float(single) + float(np.nextafter(single, np.float32(np.inf)))) / 2
        # A number in the middle of two is rounded to the even one.
        return halfway if np.float32(halfway) == single else float(np.nextafter(halfway, -np.inf))


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowFeature:
    """An aggregate over one key's transactions in ``(t - delay - window, t - delay]``.

    ``t`` is the current transaction's time, at the spec's resolution. Without a delay the window
    includes the current transaction, and of those at the same instant the ones in earlier rows.
    """

    name: str
    key: str | tuple[str, str]
    """The column that names whose history this is, or a pair of columns."""
    aggregate: Aggregate
    window: dt.timedelta | None = None
    """None for the aggregates in :data:`WITHOUT_WINDOW`, and only for them."""
    delay: dt.timedelta = dt.timedelta(0)
    of: str | None = None
    """The column whose distinct values ``Aggregate.DISTINCT`` counts; None for the others."""
    nth: int | None = None
    """Of :data:`OF_NTH_LAST`, which: 1 is the key's last before this one. None for the others."""
    unless: Unless | None = None
    """Of :data:`OF_LABELS`, which known frauds are left out, as if they were none."""

    def __post_init__(self) -> None:
        if (self.window is None) != (self.aggregate in WITHOUT_WINDOW):
            needs = "takes no" if self.aggregate in WITHOUT_WINDOW else "needs a"
            raise ValueError(f"{self.name}: {self.aggregate} {needs} window, got {self.window=}")
        if self.window is not None and self.window <= dt.timedelta(0):
            raise ValueError(f"{self.name}: window must be positive, got {self.window=}")
        if self.delay < dt.timedelta(0):
            raise ValueError(f"{self.name}: delay must not be negative, got {self.delay=}")
        if self.delay and self.aggregate in _WITHOUT_DELAY:
            raise ValueError(f"{self.name}: {self.aggregate} takes no delay, got {self.delay=}")
        if not self.delay and self.aggregate in _WITH_DELAY:
            raise ValueError(f"{self.name}: {self.aggregate} needs a delay, got {self.delay=}")
        if (self.of is None) != (self.aggregate is not Aggregate.DISTINCT):
            raise ValueError(f"{self.name}: `of` goes with distinct alone, got {self.of=}")
        if (self.nth is None) != (self.aggregate not in OF_NTH_LAST):
            needs = "needs an" if self.aggregate in OF_NTH_LAST else "takes no"
            raise ValueError(f"{self.name}: {self.aggregate} {needs} nth, got {self.nth=}")
        if self.nth is not None and not 1 <= self.nth <= MAX_NTH:
            raise ValueError(f"{self.name}: nth must be from 1 to {MAX_NTH}, got {self.nth=}")
        if self.unless is not None and self.aggregate not in OF_LABELS:
            raise ValueError(f"{self.name}: `unless` goes with known frauds, got {self.aggregate}")
        if not (isinstance(self.key, str) or len(self.key) == 2):
            raise ValueError(f"{self.name}: key must be one column or two, got {self.key=}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The key as a tuple of columns."""
        return (str(self.key),) if isinstance(self.key, str) else self.key

    @property
    def reads(self) -> tuple[str, ...]:
        """The transactions' columns that it needs, beside ``timestamp``."""
        of = () if self.of is None else (self.of,)
        amount = ("amount",) if self.aggregate in _OF_AMOUNTS else ()
        return tuple(str(column) for column in (*self.columns, *of, *amount))


Feature = RowFeature | ColumnFeature | WindowFeature


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Features in the order in which a model takes them."""

    features: tuple[Feature, ...]
    resolution: dt.timedelta = dt.timedelta(microseconds=1)
    """Window features see time in whole multiples of it since the epoch: a transaction's is
    rounded down, a label's up, so that nothing is known early. Windows and delays must be
    multiples of it. An engine that runs forever keeps one entry a key and multiple; the default
    is the finest time there is."""
    usual_over: int = 32
    """The usual amount of a key is the median of its last ``usual_over`` transactions before."""
    unusual_ratio: float = 2.5
    """An amount is unusual above this many times the usual one."""

    def __post_init__(self) -> None:
        if not self.features:
            raise ValueError("a spec must have at least one feature, got none")
        repeated = [name for name, times in Counter(self.names).items() if times > 1]
        if repeated:
            raise ValueError(f"feature names must be unique, got {repeated=}")
        if self.resolution <= dt.timedelta(0):
            raise ValueError(f"resolution must be positive, got {self.resolution=}")
        if self.usual_over < 1:
            raise ValueError(f"usual_over must be at least 1, got {self.usual_over=}")
        if not 0 < self.unusual_ratio < float("inf"):
            raise ValueError(f"unusual_ratio must be positive, got {self.unusual_ratio=}")
        for feature in self.features:
            if isinstance(feature, WindowFeature):
                for span in (feature.window or dt.timedelta(0), feature.delay):
                    if span % self.resolution:
                        raise ValueError(
                            f"{feature.name}: {span} is no multiple of {self.resolution=}"
                        )
            for column in feature.reads:
                if column in _NO_FEATURES:
                    raise ValueError(f"{feature.name}: no feature may read column {column!r}")
        self._check_unless()
        told_apart = {c for feature in self.features for c in _told_apart(feature)}
        both = self.numbers & (told_apart | {"customer_id"})
        if both:
            raise ValueError(
                f"a column is either a number or a category or key, got {sorted(both)} as both;"
                " give the transactions a copy of it under another name"
            )

    def _check_unless(self) -> None:
        if len(self.unless) > _MAX_UNLESS:
            raise ValueError(
                f"a spec may have {_MAX_UNLESS} different `unless`, got {len(self.unless)}"
            )
        deciding = {feature.name for feature in self.features if not _looks_at_labels(feature)}
        for unless in self.unless:
            if unless.feature not in deciding:
                why = "looks at labels itself" if unless.feature in self.names else "is none"
                raise ValueError(
                    f"unless: must name a feature of the spec, got {unless.feature!r}, which {why}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The transactions' columns that features read beside ``timestamp``, first use first."""
        return tuple(dict.fromkeys(c for feature in self.features for c in feature.reads))

    @cached_property
    def unless(self) -> tuple[Unless, ...]:
        """What leaves known frauds out of features, each once, first use first."""
        windows = [feature for feature in self.features if isinstance(feature, WindowFeature)]
        return tuple(dict.fromkeys(it.unless for it in windows if it.unless is not None))

    @property
    def numbers(self) -> frozenset[str]:
        """The columns whose values are numbers; those of all others are only told apart."""
        return frozenset({"amount"}).union(
            feature.column
            for feature in self.features
            if isinstance(feature, ColumnFeature) and feature.kind is ColumnKind.NUMERIC
        )

    @property
    def categories(self) -> tuple[bool, ...]:
        """Of each feature, whether its values are codes of categories, without order."""
        return tuple(
            isinstance(feature, ColumnFeature) and feature.kind is ColumnKind.CATEGORY
            for feature in self.features
        )

    def reader_of(self, column: str) -> str:
        """The name of the first feature that reads ``column``, for error messages."""
        return next(feature.name for feature in self.features if column in feature.reads)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex: equal specs and no others have the same."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """A JSON value that :meth:`from_json` turns back into an equal spec; times in seconds."""
        return {
            "version": FORMAT_VERSION,
            "resolution_seconds": self.resolution.total_seconds(),
            "usual_over": self.usual_over,
            "unusual_ratio": float(self.unusual_ratio),
            "features": [_feature_to_json(feature) for feature in self.features],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> FeatureSpec:
        """The spec that :meth:`to_json` wrote, in this format version or the one before.

        Raises:
            ValueError: ``value`` is none, as from a newer version with other aggregates.
        """
        try:
            if not isinstance(value, Mapping):
                return cls(features=tuple(_feature_from_json(item) for item in value))
            fields = dict(value)
            version = fields.pop("version")
            if version != FORMAT_VERSION:
                raise ValueError(
                    f"feature spec of version {version!r}, this release reads {FORMAT_VERSION}"
                )
            return cls(
                features=tuple(_feature_from_json(item) for item in fields.pop("features")),
                resolution=dt.timedelta(seconds=fields.pop("resolution_seconds", 1e-6)),
                **fields,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a feature spec: {error!r}") from error


def _looks_at_labels(feature: Feature) -> bool:
    return isinstance(feature, WindowFeature) and feature.aggregate in OF_LABELS


def _told_apart(feature: Feature) -> tuple[str, ...]:
    """The columns of whose values a feature needs to know only which are equal."""
    if isinstance(feature, WindowFeature):
        return feature.columns if feature.of is None else (*feature.columns, feature.of)
    if isinstance(feature, ColumnFeature) and feature.kind is ColumnKind.CATEGORY:
        return (feature.column,)
    return ()


def _feature_to_json(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, RowFeature):
        return {"name": feature.name, "value": feature.value.value}
    if isinstance(feature, ColumnFeature):
        return {"name": feature.name, "column": str(feature.column), "kind": feature.kind.value}
    item: dict[str, Any] = {
        "name": feature.name,
        "key": str(feature.key) if isinstance(feature.key, str) else list(feature.key),
        "aggregate": feature.aggregate.value,
    }
    if feature.of is not None:
        item["of"] = feature.of
    if feature.nth is not None:
        item["nth"] = feature.nth
    if feature.unless is not None:
        item["unless"] = {"feature": feature.unless.feature, "above": float(feature.unless.above)}
    if feature.window is not None:
        item["window_seconds"] = feature.window.total_seconds()
    return item | {"delay_seconds": feature.delay.total_seconds()}


def _feature_from_json(item: Mapping[str, Any]) -> Feature:
    fields = dict(item)
    name = fields.pop("name")
    feature: Feature
    if "value" in fields:
        feature = RowFeature(name=name, value=_one_of(RowValue, fields, "value", name))
    elif "column" in fields:
        kind = _one_of(ColumnKind, fields, "kind", name)
        feature = ColumnFeature(name=name, column=fields.pop("column"), kind=kind)
    elif "key" not in fields:
        raise ValueError(
            f"{name}: needs a value, a column or a key, got {sorted(fields) or 'none'}"
        )
    else:
        key = fields.pop("key")
        window = fields.pop("window_seconds", None)
        unless = fields.pop("unless", None)
        feature = WindowFeature(
            name=name,
            key=key if isinstance(key, str) else tuple(key),
            aggregate=_one_of(Aggregate, fields, "aggregate", name),
            window=None if window is None else dt.timedelta(seconds=window),
            delay=dt.timedelta(seconds=fields.pop("delay_seconds", 0)),
            of=fields.pop("of", None),
            nth=fields.pop("nth", None),
            unless=None if unless is None else Unless(**unless),
        )
    if fields:
        raise ValueError(f"{name}: unknown fields {sorted(fields)}")
    return feature


def _one_of(kinds: type[_Kind], fields: dict[str, Any], field: str, name: str) -> _Kind:
    """Takes ``field`` out of the feature ``name``'s fields, as one of ``kinds``."""
    given = fields.pop(field, None)
    if given not in list(kinds):
        known = ", ".join(kinds)
        raise ValueError(f"{name}: {field} must be one of {known}; got {given!r}")
    return kinds(given)


def last_transactions(key: str | tuple[str, str], n: int) -> tuple[WindowFeature, ...]:
    """The key's last ``n`` transactions before this one as a sequence, the latest first.

    Two features each, named as ``customer_last_1_amount`` and ``customer_last_1_age``. Both are
    NaN where the key has had fewer.
    """
    columns = (key,) if isinstance(key, str) else key
    who = "_".join(column.removesuffix("_id") for column in columns)
    return tuple(
        WindowFeature(name=f"{who}_last_{nth}_{what}", key=key, aggregate=aggregate, nth=nth)
        for nth in range(1, n + 1)
        for what, aggregate in (
            ("amount", Aggregate.NTH_LAST_AMOUNT),
            ("age", Aggregate.NTH_LAST_AGE),
        )
    )
