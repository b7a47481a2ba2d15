"""The features of one key for all rows, computed for some of its values at a time, in threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from fraud_ml import _key_history
from fraud_ml._columns import microseconds
from fraud_ml._key_history import KeyHistory
from fraud_ml._labels import KnownFrauds
from fraud_ml._windows import Floats, History, Ints, KeyOrder
from fraud_ml.feature_spec import OF_LABELS, Unless, WindowFeature


class Rows(_key_history.Rows, Protocol):
    """What the blocks take of all rows."""

    @property
    def instant(self) -> Ints:
        """Time in multiples of the spec's resolution: shape ``(N,)``."""

    def frauds(self, unless: Unless | None) -> KnownFrauds:
        """Which rows are known to be frauds, and when, but for those left out."""


class KeyBlocks:
    """Features of one key, block by block: each has the whole history of some of its values."""

    def __init__(self, rows: Rows, features: Sequence[WindowFeature]) -> None:
        """Orders the rows by their key.

        Args:
            rows: all of them.
            features: of the same key.
        """
        self._rows = rows
        self._features = {feature.name: feature for feature in features}
        codes = [rows.codes(column) for column in features[0].columns]
        self._order = KeyOrder.of([_apart(code) for code in codes])
        self._absent = np.any([code < 0 for code in codes], axis=0)
        self._reach = _reach(rows, features)
        self._blocks = self._order.blocks(self._reach)
        self._frauds = {
            unless: rows.frauds(unless).in_blocks(self._order.row, self._blocks)
            for unless in {f.unless for f in features if f.aggregate in OF_LABELS}
        }
        for feature in features:
            if feature.of is not None:
                rows.codes(feature.of)  # here and now, rather than in every thread at once
        self._by_position = {name: np.empty(len(self._order.row)) for name in self._features}

    @property
    def names(self) -> list[str]:
        """Of the features."""
        return list(self._features)

    def __len__(self) -> int:
        """How many blocks there are."""
        return len(self._blocks)

    def compute(self, block: int) -> None:
        """Computes the features of the rows in a block, the first being 0."""
        positions = self._blocks[block]
        row = self._order.row[positions]
        history = KeyHistory(
            self._rows,
            History.of(row, self._order.is_first[positions], self._rows.instant[row], self._reach),
            {unless: frauds[block] for unless, frauds in self._frauds.items()},
        )
        for name, feature in self._features.items():
            self._by_position[name][positions] = history.compute(feature)

    def take(self, name: str) -> Floats:
        """The values of a feature, row by row, once all blocks are computed: shape ``(N,)``."""
        # All at once: writing here and there to a single column stays in the cache.
        by_position = self._by_position.pop(name)
        by_row = np.empty_like(by_position)
        by_row[self._order.row] = by_position
        by_row[self._absent] = np.nan
        return by_row


def _apart(codes: Ints) -> Ints:
    """``codes`` with another one for each -1: rows without a key share no history."""
    absent = codes < 0
    if not absent.any():
        return codes
    apart = codes.copy()
    apart[absent] = codes.max() + 1 + np.arange(np.count_nonzero(absent))
    return apart


def _reach(rows: Rows, features: Sequence[WindowFeature]) -> int:
    """How many instants back any window goes; no further than all there is."""
    if not len(rows.instant):
        return 1
    resolution = microseconds(rows.spec.resolution)
    spans = [microseconds(f.delay + f.window) // resolution for f in features if f.window]
    return min(max(spans, default=1), int(np.ptp(rows.instant)) + 1)
