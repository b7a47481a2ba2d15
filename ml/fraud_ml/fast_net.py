"""The net for scoring alone: in machine code where there is some, else in NumPy; without torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from fraud_ml import _native_net
from fraud_ml.net_tables import NetTables

Features = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 256  # in NumPy: what a layer makes of them stays in a core's cache
_MANY = 512  # rows: to share fewer takes longer than to score them
_PART = 96  # of them, that a thread takes at a time, and machine code through all layers


class FastNet:
    """Scores as :class:`fraud_ml.model.FraudNet` does, to 1e-6.

    In machine code the score of a row is the same to the last bit whatever rows are beside it.
    Threads may score at the same time.
    """

    def __init__(self, tables: NetTables, *, threads: int = 1, native: bool = True) -> None:
        """Lays the tables out.

        Args:
            tables: of the net.
            threads: that share the rows of a call where it has many.
            native: whether to score in machine code where that is possible.
        """
        self._tables = tables
        functions = _native_net.library() if native else None
        self._native = None if functions is None else _native_net.NativeNet(tables, functions)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "score") if threads > 1 else None

    @property
    def is_native(self) -> bool:
        """Whether it scores in machine code."""
        return self._native is not None

    def score(self, features: Features) -> Scores:
        """The probability of fraud, 0 to 1, of features of shape ``(N, F)``: shape ``(N,)``.

        Raises:
            ValueError: the features are not of that shape, or not float32.
        """
        if features.ndim != 2 or features.shape[1] != self._tables.n_features:
            raise ValueError(
                f"features must have shape (N, {self._tables.n_features}), got {features.shape}"
            )
        if features.dtype != np.float32:
            raise ValueError(f"features must be float32, got {features.dtype}")
        if self._pool is None or len(features) < _MANY:
            return self._score(features)
        scores = np.empty(len(features), dtype=np.float32)
        parts = iter(range(0, len(features), _PART))

        def score_parts() -> None:
            for start in parts:  # whoever is free takes the next
                part = slice(start, start + _PART)
                scores[part] = self._score(features[part])

        others = [self._pool.submit(score_parts) for _ in range(self._threads - 1)]
        score_parts()
        for other in others:
            if not other.cancel():  # it has begun: all cores may be at other work
                other.result()
        return scores

    def _score(self, features: Features) -> Scores:
        if self._native is not None:
            return self._native.score(np.ascontiguousarray(features))
        scores = np.empty(len(features), dtype=np.float32)
        for start in range(0, len(features), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            scores[part] = _in_numpy(self._tables, features[part])
        return scores


def _in_numpy(tables: NetTables, features: Features) -> npt.NDArray[np.float64]:
    n_groups = len(tables.first)
    embedded = _embedded(tables, features)  # (B, F + C, G * E)
    by_group = embedded.reshape(*embedded.shape[:2], n_groups, -1)
    x = np.moveaxis(by_group, 2, 0).reshape(n_groups, len(features), -1)  # (G, B, (F + C) * E)
    x = np.maximum(x @ tables.first + tables.first_bias[:, None], 0)  # (G, B, M * W)
    by_member = x.reshape(n_groups, len(features), -1, tables.last.shape[1])
    x = np.moveaxis(by_member, 2, 1).reshape(len(tables.last), len(features), -1)  # (G * M, B, W)
    for weight, bias in zip(tables.hidden, tables.hidden_bias, strict=True):
        x = np.maximum(x @ weight + bias[:, None], 0)
    logits = np.einsum("kbw,kw->kb", x, tables.last).astype(np.float64) + tables.last_bias[:, None]
    # The mean of probabilities, as log-odds, which calibration moves.
    fraud, honest = (np.logaddexp.reduce(-np.logaddexp(0, -it)) for it in (logits, -logits))
    slope, offset = tables.calibration.astype(np.float64)
    scores: npt.NDArray[np.float64] = np.exp(-np.logaddexp(0, -(slope * (fraud - honest) + offset)))
    return scores


def _embedded(tables: NetTables, features: Features) -> npt.NDArray[np.float32]:
    numbers = features[:, tables.number_columns]
    missing = np.isnan(numbers)
    piece = np.where(
        missing, tables.edges.shape[1] + 1, (numbers[..., None] > tables.edges).sum(-1)
    )
    which = np.arange(len(tables.number_columns))
    is_flat = missing | (piece == 0) | np.isinf(numbers)
    beyond = np.where(is_flat, 0, numbers - tables.start[which, piece])
    steep = tables.base[which, piece] + beyond[..., None] * tables.rise[which, piece]
    embedded: npt.NDArray[np.float32] = np.maximum(steep, 0).astype(np.float32, copy=False)
    if len(tables.category_columns):
        embedded = np.concatenate((embedded, _of_categories(tables, features)), axis=1)
    return embedded


def _of_categories(tables: NetTables, features: Features) -> npt.NDArray[np.float32]:
    values = features[:, tables.category_columns]
    known = values[..., None] == tables.codes  # (B, C, Q)
    n_codes = tables.codes.shape[1]
    place = np.where(known.any(-1), known.argmax(-1), n_codes)
    place[np.isnan(values)] = n_codes + 1
    found: npt.NDArray[np.float32] = tables.vectors[np.arange(len(tables.codes)), place]
    return found
