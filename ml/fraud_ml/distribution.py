"""How features and scores were distributed in training, and how far from it others are.

The measure is the population stability index (Siddiqi, *Credit Risk Scorecards*, 2006, chapter
12): the sum over bins of ``(q - p) ln(q / p)``, where p are the shares in training and q those
now. It is usual to call less than 0.1 stable, and more than 0.25 a shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

N_BINS = 10
"""Of numbers, at most, each with as many rows of training as the others as far as equal numbers
allow; missing ones are one more."""
LEAST_SHARE = 1e-4
"""In place of less, so that an empty bin does not make the index infinite."""

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One number's in training."""

    edges: tuple[float, ...]
    """Ascending; a number is in the bin of the first edge that is not below it, or in the one
    above all edges."""
    shares: tuple[float, ...]
    """Of rows in each of the ``len(edges) + 1`` bins, and of those without a number."""

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.edges) + 2:
            raise ValueError(f"{len(self.edges)} edges with {len(self.shares)} shares")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"edges must ascend, got {self.edges}")

    def count(self, values: Floats) -> Ints:
        """How many of ``values`` are in each bin, the missing ones last.

        Args:
            values: NaN where one is missing.
        """
        missing = np.isnan(values)
        bins = np.searchsorted(np.array(self.edges, values.dtype), values[~missing])
        counts = np.bincount(bins, minlength=len(self.shares))
        counts[-1] = np.count_nonzero(missing)
        return counts.astype(np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Those of all that a model takes and gives."""

    features: Mapping[str, Distribution]
    """In the model's order."""
    score: Distribution

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads, of types that JSON has."""
        return {
            "features": {name: _to_json(each) for name, each in self.features.items()},
            "score": _to_json(self.score),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Reference:
        """What :meth:`to_json` was called on.

        Raises:
            ValueError, KeyError, TypeError: ``fields`` are no reference's.
        """
        features = {name: _from_json(each) for name, each in fields["features"].items()}
        return cls(features=features, score=_from_json(fields["score"]))


def fit_distribution(values: Floats) -> Distribution:
    """The distribution of ``values``, whose bins end at their deciles.

    Args:
        values: at least one, NaN where one is missing.

    Raises:
        ValueError: there is none.
    """
    if not len(values):
        raise ValueError("no values to fit a distribution to")
    known = values[~np.isnan(values)]
    edges: tuple[float, ...] = ()
    if len(known):
        inner = np.arange(1, N_BINS) / N_BINS
        edges = tuple(np.unique(np.quantile(known, inner, method="inverted_cdf")).tolist())
    empty = Distribution(edges=edges, shares=(0.0,) * (len(edges) + 2))
    return Distribution(edges=edges, shares=tuple((empty.count(values) / len(values)).tolist()))


def fit_reference(features: Floats, scores: Floats, names: Sequence[str]) -> Reference:
    """The distributions of training rows, N of them.

    Args:
        features: shape ``(N, F)``.
        scores: of models that did not train on the row, as those of new payments: shape ``(N,)``.
        names: of the F features.
    """
    columns = {
        name: fit_distribution(column) for name, column in zip(names, features.T, strict=True)
    }
    return Reference(features=columns, score=fit_distribution(scores))


def psi(distribution: Distribution, counts: Sequence[int] | Ints) -> float:
    """The population stability index, 0 or more, of what was counted against ``distribution``.

    Args:
        distribution: of training.
        counts: in its bins, as :meth:`Distribution.count` returns them.

    Raises:
        ValueError: there are more or fewer bins, or nothing was counted.
    """
    counted = np.asarray(counts, dtype=np.float64)
    if counted.shape != (len(distribution.shares),):
        raise ValueError(f"{len(distribution.shares)} bins, got counts of shape {counted.shape}")
    if not counted.sum():
        raise ValueError("nothing was counted")
    now = np.maximum(counted / counted.sum(), LEAST_SHARE)
    before = np.maximum(np.array(distribution.shares), LEAST_SHARE)
    return float(np.sum((now - before) * np.log(now / before)))


def _to_json(distribution: Distribution) -> dict[str, list[float]]:
    return {"edges": list(distribution.edges), "shares": list(distribution.shares)}


def _from_json(fields: Mapping[str, Any]) -> Distribution:
    return Distribution(edges=tuple(fields["edges"]), shares=tuple(fields["shares"]))
