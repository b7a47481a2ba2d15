"""A net as arrays from which NumPy, or machine code, scores: no torch is needed to load or use it.

A number's embedding is linear between edges, with a jump at each. So it is kept as a table: for
each piece between two edges where it begins, the embedding there, and its slope. What the net
computes by a product with 17 inputs a number is then looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from fraud_ml.errors import ArtifactError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NetTables:
    """The arrays; F numbers, C categories, G groups of M members, E wide embeddings, width W."""

    number_columns: npt.NDArray[np.int32]
    """Where the numbers are among the features: shape ``(F,)``."""
    category_columns: npt.NDArray[np.int32]
    """Where the categories are: shape ``(C,)``."""
    edges: Floats
    """Of numbers, ascending, filled up with infinity: shape ``(F, P)``. A value is in piece n if it
    is above n of them, and in the last, P + 1, if it is missing."""
    start: Floats
    """Where pieces begin: shape ``(F, P + 2)``."""
    base: Floats
    """The embedding, before its activation, where a piece begins: shape ``(F, P + 2, G * E)``."""
    rise: Floats
    """Its slope from there on; 0 in the first and in the last piece. As ``base``."""
    codes: Floats
    """Of categories, filled up with NaN: shape ``(C, Q)``."""
    vectors: Floats
    """The embedding of each code, of any other, and of missing: shape ``(C, Q + 2, G * E)``."""
    first: Floats
    """Shape ``(G, (F + C) * E, M * W)``."""
    first_bias: Floats
    """Shape ``(G, M * W)``."""
    hidden: Floats
    """Of the layers between the first and the last: shape ``(L, G * M, W, W)``."""
    hidden_bias: Floats
    """Shape ``(L, G * M, W)``."""
    last: Floats
    """Shape ``(G * M, W)``."""
    last_bias: Floats
    """Shape ``(G * M,)``."""
    calibration: Floats
    """Slope and offset of the log-odds: shape ``(2,)``."""

    @classmethod
    def of(cls, weights: Mapping[str, npt.NDArray[np.float32]], categories: Sequence[bool]) -> Self:
        """The tables of a net.

        Args:
            weights: what :class:`fraud_ml.model.FraudNet` has for its state, as arrays.
            categories: of each feature, whether it is a category.
        """
        columns = np.arange(len(categories), dtype=np.int32)
        is_category = np.array(categories, dtype=bool)
        codes = weights["category.codes"]
        hidden = sorted(name for name in weights if name.startswith("hidden."))
        return cls(
            number_columns=columns[~is_category],
            category_columns=columns[is_category],
            **_pieces(weights),
            codes=np.where(codes < 0, np.float32(np.nan), codes),
            vectors=weights["category.weight"],
            first=weights["first.weight"],
            first_bias=weights["first.bias"][:, 0],
            hidden=_stacked(weights, [it for it in hidden if it.endswith("weight")], 3),
            hidden_bias=_stacked(weights, [it for it in hidden if it.endswith("bias")], 3)[:, :, 0],
            last=weights["last.weight"][:, :, 0],
            last_bias=weights["last.bias"][:, 0, 0],
            calibration=np.array([weights["slope"], weights["offset"]], dtype=np.float32),
        )

    @property
    def n_features(self) -> int:
        """How many features a row has."""
        return len(self.number_columns) + len(self.category_columns)

    def to_bytes(self) -> bytes:
        """All of it; the same tables give the same bytes."""
        arrays = {it.name: np.ascontiguousarray(getattr(self, it.name)) for it in fields(self)}
        return safetensors.numpy.save(arrays)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What :meth:`to_bytes` gave.

        Raises:
            ArtifactError: it is something else.
        """
        try:
            return cls(**safetensors.numpy.load(content))
        except (safetensors.SafetensorError, TypeError) as error:
            raise ArtifactError(f"these are not the tables of a net: {error}") from error


def _stacked(
    weights: Mapping[str, npt.NDArray[np.float32]], names: Sequence[str], n_axes: int
) -> Floats:
    """The arrays of all hidden layers, none of which there need be."""
    if names:
        return np.stack([weights[name] for name in names])
    width = weights["last.weight"].shape[1]
    return np.zeros((0, len(weights["last.weight"]), *[width] * (n_axes - 1)), dtype=np.float32)


def _pieces(weights: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, Floats]:
    """``edges``, ``start``, ``base`` and ``rise`` of all numbers, computed in double precision."""
    low, per_width, weight = (
        weights[f"number.{it}"].astype(np.float64) for it in ("low", "per_width", "weight")
    )
    bias, usual = weights["number.bias"][:, 0].astype(np.float64), weights["number.usual"]
    edges = [_edges(*it) for it in zip(low, per_width, strict=True)]
    n_edges = max((len(it) for it in edges), default=0)
    shape = (len(low), n_edges + 2)
    start = np.zeros(shape)
    base = np.zeros((*shape, weight.shape[2]))
    rise = np.zeros_like(base)
    for number, its_edges in enumerate(edges):
        number_of = _Number(low[number], per_width[number], weight[number], bias[number])
        base[number] = bias[number]
        for piece, edge in enumerate(its_edges, start=1):
            start[number, piece] = edge
            base[number, piece] = number_of.just_above(edge)
            rise[number, piece] = number_of.slope_above(edge)
        base[number, -1] = number_of.at(float(usual[number])) + weight[number, -1]
    padded = np.full((len(low), n_edges), np.inf)
    for number, its_edges in enumerate(edges):
        padded[number, : len(its_edges)] = its_edges
    found = {"edges": padded, "start": start, "base": base, "rise": rise}
    return {name: array.astype(np.float32) for name, array in found.items()}


def _edges(low: Doubles, per_width: Doubles) -> Doubles:
    """Where the embedding of a number changes its course, ascending, as the net's float32."""
    return np.unique(np.concatenate((low[per_width > 0], _ends(low, per_width))))


def _ends(low: Doubles, per_width: Doubles) -> Doubles:
    there = per_width > 0
    return (low[there] + 1 / per_width[there]).astype(np.float32).astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Number:
    """The embedding of one number, as the net computes it: its inputs are 2 a piece."""

    low: Doubles
    per_width: Doubles
    weight: Doubles
    bias: Doubles

    def at(self, value: float) -> Doubles:
        """The embedding of ``value``."""
        beyond = (value > self.low) & (self.per_width > 0)
        return self._sum(value, beyond)

    def just_above(self, edge: float) -> Doubles:
        """The embedding of what is above ``edge`` by nothing, after the jump there."""
        return self._sum(edge, (edge >= self.low) & (self.per_width > 0))

    def slope_above(self, edge: float) -> Doubles:
        """What it grows by, from ``edge`` on."""
        ends = np.full_like(self.low, -np.inf)
        ends[self.per_width > 0] = _ends(self.low, self.per_width)
        inside = (self.low <= edge) & (edge < ends)
        grows: Doubles = (inside * self.per_width) @ self.weight[: len(self.low)]
        return grows

    def _sum(self, value: float, beyond: npt.NDArray[np.bool_]) -> Doubles:
        filled = np.clip((value - self.low) * self.per_width, 0, 1)
        n_pieces = len(self.low)
        total: Doubles = (
            self.bias
            + filled @ self.weight[:n_pieces]
            + beyond @ self.weight[n_pieces : 2 * n_pieces]
        )
        return total
