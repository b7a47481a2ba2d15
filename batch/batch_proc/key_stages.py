"""Which features are computed together: those whose key's whole history lies in one bucket."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fraud_ml.feature_spec import (
    OF_LABELS,
    OF_NTH_LAST,
    WITHOUT_WINDOW,
    Aggregate,
    ColumnFeature,
    ColumnKind,
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

    @property
    def given(self) -> frozenset[str]:
        """Names of features of earlier stages that decide which known frauds count here."""
        windows = [f for f in self.features if isinstance(f, WindowFeature)]
        names = {feature.unless.feature for feature in windows if feature.unless is not None}
        return frozenset(names.difference(feature.name for feature in self.features))

    def spec(self, whole: FeatureSpec, given: Mapping[str, str]) -> FeatureSpec:
        """The part of ``whole`` that is computed here.

        Args:
            whole: the spec of all features.
            given: of features of earlier stages, the columns that the transactions have them in.
        """
        before = tuple(
            ColumnFeature(name=name, column=given[name], kind=ColumnKind.NUMERIC)
            for name in sorted(self.given)
        )
        return FeatureSpec(
            features=self.features + before,
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
    windows = {feature.name: feature for feature in features if isinstance(feature, WindowFeature)}
    none = dt.timedelta(0)
    spans = {name: f.delay + f.window if f.window else none for name, f in windows.items()}
    # What decides about a fraud in a window reaches back from that fraud's row.
    before = [
        spans.get(feature.unless.feature, none) if feature.unless else none
        for feature in windows.values()
    ]
    rows = [f.nth or 0 for f in windows.values() if f.aggregate in OF_NTH_LAST]
    rows += [spec.usual_over for f in windows.values() if f.aggregate in _OF_USUAL]
    lookbacks = (span + more for span, more in zip(spans.values(), before, strict=True))
    return Past(max(lookbacks, default=none), max(rows, default=0))


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
    computed with a column's. What decides which known frauds count comes before the features that
    count them. As far as that goes, labels are needed first, so that later stages carry them no
    further, and the fewest features come first, since all later stages carry them.

    Args:
        spec: of the features.
        hot: keys with a value that is to be cut into slices of time. A slice holds the past that
            the features of the key itself need; of a pair, whose first row may be long before,
            it holds what is in its windows alone.
        spread_first: whether the first stage is one of rows that are spread by their ids, as labels
            of another table are.
    """
    by_key: dict[Key, list[WindowFeature]] = {}
    alone = {f.columns for f in spec.features if isinstance(f, WindowFeature)}
    for feature in spec.features:
        if isinstance(feature, WindowFeature):
            by_key.setdefault(_key_for(feature, alone, hot), []).append(feature)
    of_rows = tuple(f for f in spec.features if not isinstance(f, WindowFeature))
    stages = _in_turn(by_key, {feature.name for feature in of_rows})
    if not stages or spread_first:
        return (KeyStage((), of_rows), *stages)
    first, *others = stages
    return (KeyStage(first.key, of_rows + first.features), *others)


def _in_turn(by_key: Mapping[Key, Sequence[WindowFeature]], known: set[str]) -> list[KeyStage]:
    """Stages of which each has what it needs from those before, or from features that are known.

    A key has a single stage, unless features of it and of another key decide for each other.
    """
    left, stages = dict(by_key), []
    while left:
        ready = {key: _ready(features, known) for key, features in left.items()}
        parts = [KeyStage(key, features) for key, features in ready.items() if features]
        stage = min(
            parts,
            key=lambda it: (
                len(it.features) < len(left[it.key]),
                not it.reads_labels,
                len(it.features),
            ),
        )
        stages.append(stage)
        known = known | {feature.name for feature in stage.features}
        later = [feature for feature in left.pop(stage.key) if feature not in stage.features]
        left |= {stage.key: later} if later else {}
    return stages


def _ready(features: Sequence[WindowFeature], known: set[str]) -> tuple[WindowFeature, ...]:
    """Those of a key that need nothing of another key's, but for what is known."""
    known = known | {feature.name for feature in features if feature.unless is None}
    return tuple(f for f in features if f.unless is None or f.unless.feature in known)


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
