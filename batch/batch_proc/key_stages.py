"""Which features are computed together: those whose key's whole history lies in one bucket."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fraud_ml.feature_spec import (
    OF_LABELS,
    OF_NTH_LAST,
    WITHOUT_WINDOW,
    Aggregate,
    Feature,
    FeatureSpec,
    WindowFeature,
)

_OF_USUAL = frozenset(
    {
        Aggregate.AMOUNT_TO_MEDIAN,
        Aggregate.AMOUNT_ROBUST_Z,
        Aggregate.MAX_AMOUNT_TO_MEDIAN,
        Aggregate.UNUSUAL_COUNT,
    }
)

Key = tuple[str, ...]
"""One column, or two; none: any rows may lie together."""


@dataclass(frozen=True, slots=True)
class KeyStage:
    """Features that are computed where all rows of a key lie together."""

    key: Key
    features: tuple[Feature, ...]

    @property
    def name(self) -> str:
        """For people."""
        return " and ".join(self.key) or "row"

    @property
    def reads_labels(self) -> bool:
        """Whether a feature needs to know what was found to be a fraud."""
        return any(isinstance(f, WindowFeature) and f.aggregate in OF_LABELS for f in self.features)

    @property
    def columns(self) -> frozenset[str]:
        """The transactions' columns that it needs, beside those that each transaction has."""
        return frozenset(self.key).union(*(feature.reads for feature in self.features))

    def spec(self, whole: FeatureSpec) -> FeatureSpec:
        """The part of ``whole`` that is computed here."""
        return FeatureSpec(
            features=self.features,
            resolution=whole.resolution,
            usual_over=whole.usual_over,
            unusual_ratio=whole.unusual_ratio,
        )


@dataclass(frozen=True, slots=True)
class Past:
    """How much of a key's past its features see from any row."""

    lookback: dt.timedelta
    """No window reaches back further."""
    rows: int
    """How many rows before those of the windows count, however old."""


def past_of(features: Iterable[Feature], spec: FeatureSpec) -> Past:
    """What rows of a key's past ``features`` depend on, beside the key's first row."""
    windows = [feature for feature in features if isinstance(feature, WindowFeature)]
    spans = [f.delay + f.window for f in windows if f.window is not None]
    rows = [f.nth or 0 for f in windows if f.aggregate in OF_NTH_LAST]
    rows += [spec.usual_over for f in windows if f.aggregate in _OF_USUAL]
    return Past(max(spans, default=dt.timedelta(0)), max(rows, default=0))


def reach_of(spec: FeatureSpec) -> dt.timedelta | None:
    """How far back rows may be that a row's features depend on; None: there is no such time."""
    past = past_of(spec.features, spec)
    endless = any(isinstance(f, WindowFeature) and f.window is None for f in spec.features)
    return None if endless or past.rows else past.lookback


def keys_of(spec: FeatureSpec) -> tuple[Key, ...]:
    """The keys of the windows of ``spec``, and the columns of those that are pairs."""
    keys = dict.fromkeys(f.columns for f in spec.features if isinstance(f, WindowFeature))
    return tuple(dict.fromkeys([*keys, *((column,) for key in keys for column in key)]))


def plan_stages(
    spec: FeatureSpec, hot: Collection[Key] = (), *, spread_first: bool = False
) -> tuple[KeyStage, ...]:
    """The stages that compute all features of ``spec``, one after the other.

    All rows of a pair of columns have the same value of either, so that a pair's features are
    computed with a column's. Labels are needed first, so that later stages carry them no further,
    and the fewest features come first, since all later stages carry them.

    Args:
        spec: of the features.
        hot: keys with a value that is to be cut into slices of time. A slice holds the past that
            the features of the key itself need; of a pair, whose first row may be long before,
            it holds what is in its windows alone.
        spread_first: whether the first stage is one of rows that are spread by their ids, as labels
            of another table are.
    """
    by_key: dict[Key, list[Feature]] = {}
    alone = {f.columns for f in spec.features if isinstance(f, WindowFeature)}
    for feature in spec.features:
        if isinstance(feature, WindowFeature):
            by_key.setdefault(_key_for(feature, alone, hot), []).append(feature)
    of_rows = tuple(f for f in spec.features if not isinstance(f, WindowFeature))
    stages = [KeyStage(key, tuple(features)) for key, features in by_key.items()]
    stages.sort(key=lambda stage: (not stage.reads_labels, len(stage.features)))
    if not stages or spread_first:
        return (KeyStage((), of_rows), *stages)
    first, *others = stages
    return (KeyStage(first.key, of_rows + first.features), *others)


def _key_for(feature: WindowFeature, alone: Collection[Key], hot: Collection[Key]) -> Key:
    """The key of the stage that computes ``feature``."""
    if len(feature.columns) == 1:
        return feature.columns
    columns: list[Key] = [(column,) for column in feature.columns]
    if feature.aggregate in WITHOUT_WINDOW | _OF_USUAL:  # slices of a column lack a pair's past
        columns = [column for column in columns if column not in hot]
    columns.sort(key=lambda column: (column not in alone, column in hot))
    usable = [column for column in columns if column in alone or column not in hot]
    return usable[0] if usable else feature.columns
