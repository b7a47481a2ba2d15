"""What the running state keeps of one kind of key, and how its features come out of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraud_ml._aggregates import NUMBER_OF
from fraud_ml._columns import microseconds
from fraud_ml._key_state import Kept
from fraud_ml.feature_spec import OF_LABELS, Aggregate, FeatureSpec, Unless, WindowFeature

Ints = npt.NDArray[np.int64]

_OF_AMOUNTS = {
    Aggregate.SUM_AMOUNT,
    Aggregate.MEAN_AMOUNT,
    Aggregate.STD_AMOUNT,
    Aggregate.AMOUNT_TO_MEAN,
}
_OF_USUAL = {
    Aggregate.AMOUNT_TO_MEDIAN,
    Aggregate.AMOUNT_ROBUST_Z,
    Aggregate.MAX_AMOUNT_TO_MEDIAN,
    Aggregate.UNUSUAL_COUNT,
}
_PEAKS = (Aggregate.MAX_AMOUNT, Aggregate.MAX_AMOUNT_TO_MEDIAN)


@dataclass(frozen=True, slots=True)
class DistinctFeature:
    """A feature that counts different values."""

    at: int
    """Its number in the spec."""
    of: int
    """Which of the columns that are counted."""
    window: int
    """In instants."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPlan:
    """All that the features of one key need; times in instants."""

    columns: tuple[str, ...]
    """The key's."""
    kept: Kept
    width: Ints
    """Numbers that a record of each queue has: shape ``(R,)``."""
    program: Ints
    """Of each feature its number in the spec, its aggregate, of what (see ``aggregate_of``), how
    long ago its window ends and starts, and which of ``kept.ages`` that is, 0 for none, 1 for the
    first: shape ``(F, 7)``."""
    distinct: tuple[DistinctFeature, ...]
    distinct_of: tuple[str, ...]
    """The columns whose values are counted."""
    unit: int
    """Microseconds an instant."""

    @property
    def looks_at_labels(self) -> bool:
        """Whether any feature does."""
        return self.kept.pending >= 0

    @property
    def needs(self) -> set[str]:
        """The columns that the features read, beside time and amount."""
        return {*self.columns, *self.distinct_of}


def plan_of(spec: FeatureSpec, columns: tuple[str, ...]) -> KeyPlan:
    """What the features of ``spec`` with the key ``columns`` need."""
    unit = microseconds(spec.resolution)
    features = [
        (number, feature, _span(feature, unit))
        for number, feature in enumerate(spec.features)
        if isinstance(feature, WindowFeature) and feature.columns == columns
    ]
    ages = sorted({age for _, _, span in features for age in span} - {0}) or [1]
    where = {age: number for number, age in enumerate([0, *ages])}
    peaks = list(dict.fromkeys(_peak(f, span) for _, f, span in features if _is_peak(f)))
    kept, width = _kept(spec, [feature for _, feature, _ in features], ages, peaks)
    which = _Queues(kept, spec, peaks)
    program = [
        (
            number,
            NUMBER_OF[feature.aggregate],
            which.of(feature, span),
            *span,
            *(where[age] for age in span),
        )
        for number, feature, span in features
    ]
    distinct_of = tuple(dict.fromkeys(f.of for _, f, _ in features if f.of is not None))
    return KeyPlan(
        columns=columns,
        kept=kept,
        width=width,
        program=np.array(program, dtype=np.int64),
        distinct=tuple(
            DistinctFeature(number, distinct_of.index(feature.of), span[1])
            for number, feature, span in features
            if feature.of is not None
        ),
        distinct_of=distinct_of,
        unit=unit,
    )


def left_out_by(spec: FeatureSpec, unless: Unless | None) -> int:
    """The bit that tells what ``unless`` leaves out; 0: nothing is."""
    return 0 if unless is None else 1 << spec.unless.index(unless)


class _Queues:
    """Which queue a feature looks at, or how many transactions ago."""

    def __init__(self, kept: Kept, spec: FeatureSpec, peaks: list[tuple[int, bool]]) -> None:
        self._spec = spec
        self._of_peak: dict[tuple[int, bool], int] = dict(
            zip(peaks, kept.peaks[:, 0].tolist(), strict=True)
        )
        self._of_frauds: dict[int, list[int]] = {
            bit: queues for bit, *queues in kept.frauds.tolist()
        }

    def of(self, feature: WindowFeature, span: tuple[int, int]) -> int:
        """See ``aggregate_of``."""
        if _is_peak(feature):
            return self._of_peak[_peak(feature, span)]
        if feature.aggregate in OF_LABELS:
            frauds, amounts = self._of_frauds[left_out_by(self._spec, feature.unless)]
            return amounts if feature.aggregate is Aggregate.LAST_FRAUD_AMOUNT else frauds
        return feature.nth or 0


def _span(feature: WindowFeature, unit: int) -> tuple[int, int]:
    """How many instants ago the feature's window ends and starts."""
    if feature.window is None:
        return 0, 0
    delay, window = microseconds(feature.delay), microseconds(feature.window)
    return delay // unit, (delay + window) // unit


def _is_peak(feature: WindowFeature) -> bool:
    return feature.aggregate in _PEAKS


def _peak(feature: WindowFeature, span: tuple[int, int]) -> tuple[int, bool]:
    """Its delay, and whether it is of the amount's ratio to the usual."""
    return span[0], feature.aggregate is Aggregate.MAX_AMOUNT_TO_MEDIAN


def _kept(
    spec: FeatureSpec,
    features: Sequence[WindowFeature],
    ages: list[int],
    peaks: list[tuple[int, bool]],
) -> tuple[Kept, Ints]:
    """What is kept, and how many numbers a record of each of its queues has."""
    aggregates = {feature.aggregate for feature in features}
    has_amounts = bool(aggregates & _OF_AMOUNTS)
    has_squares = Aggregate.STD_AMOUNT in aggregates
    has_unusual = Aggregate.UNUSUAL_COUNT in aggregates
    n_latest = max(feature.nth or 0 for feature in features)
    n_sums = 1 + 3 * has_amounts + 4 * has_squares + has_unusual
    width = [1 + n_sums]

    def queues(*widths: int, where: bool) -> int:
        if not where:
            return -1
        width.extend(widths)
        return len(width) - len(widths)

    of_labels = [feature for feature in features if feature.aggregate in OF_LABELS]
    with_amounts = {f.unless for f in of_labels if f.aggregate is Aggregate.LAST_FRAUD_AMOUNT}
    arrival = queues(1, 1, where=bool(aggregates & _OF_USUAL))
    kept = Kept(
        ages=np.array(ages, dtype=np.int64),
        n_sums=n_sums,
        has_amounts=has_amounts,
        has_squares=has_squares,
        has_unusual=has_unusual,
        usual_over=spec.usual_over,
        unusual_ratio=float(spec.unusual_ratio),
        has_z=Aggregate.AMOUNT_ROBUST_Z in aggregates,
        arrival=arrival,
        pending=queues(5, where=bool(of_labels)),
        frauds=_table(
            3,
            [
                (
                    left_out_by(spec, unless),
                    queues(2, where=True),
                    queues(3, where=unless in with_amounts),
                )
                for unless in dict.fromkeys(feature.unless for feature in of_labels)
            ],
        ),
        latest=queues(2, where=n_latest > 0),
        n_latest=n_latest + 1,
        peaks=_table(3, [(queues(2, 2, where=True), *peak) for peak in peaks]),
    )
    return kept, np.array(width, dtype=np.int64)


def _table(width: int, rows: Sequence[tuple[int, ...]]) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(-1, width)
