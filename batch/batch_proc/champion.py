"""The model that answers beside a new one: which of them finds more, on the same transactions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from batch_proc.fold import Rows
from batch_proc.training_data import TrainingData
from data_connector import ConnectorError, ModelStore
from data_connector.model_aliases import CHAMPION
from fraud_ml.artifact import Artifact, load_artifact
from fraud_ml.bootstrap import Interval, bootstrap_interval
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.metrics import average_precision, threshold_steps
from fraud_ml.transactions import transaction_columns

MIN_DEFRAUDED = 20
"""Customers. With fewer, an interval says little; and a resample may have no fraud at all."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewModel:
    """A model that is not stored yet: what it was tested on, and how it scored it."""

    data: TrainingData
    rows: Rows
    spec: FeatureSpec
    """Of the features that the rows have."""
    score: Floats
    """Of the rows, shape (N,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Incomparable:
    """There is a champion, but no fair comparison with it."""

    champion: int
    """Its version."""
    why: str
    unread: tuple[str, ...] = ()
    """Columns that the new model reads, and the champion does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The champion beside a new model, both on the same test rows."""

    champion: int
    """Its version."""
    n_rows: int
    champion_ap: float
    ap: float
    """The new model's average precision."""
    difference: Interval
    """The new one's less the champion's, with its 95 % interval."""
    unread: tuple[str, ...] = ()
    """Columns that the new model reads, and the champion does not."""

    @property
    def is_better(self) -> bool:
        """Whether the new one is better beyond chance: the whole interval lies above zero."""
        return self.difference.low > 0


def compare_with_champion(
    store: ModelStore, name: str, new: NewModel
) -> Comparison | Incomparable | None:
    """How a new model compares with the champion of ``store``; None where there is none.

    Raises:
        ConnectorError: the store cannot be read.
    """
    version = store.aliases(name).get(CHAMPION)
    if version is None:
        return None
    unread: tuple[str, ...] = ()
    try:
        champion = load_artifact(store.get(name, version).path)
        there = transaction_columns(champion.spec)
        unread = tuple(c for c in transaction_columns(new.spec) if c not in there)
        score = _score(champion, new)
    except (ConnectorError, ValueError) as error:  # gone, damaged, or of columns that are not here
        return Incomparable(
            champion=version, why=f"it cannot score the test: {error}", unread=unread
        )
    if why := _unfair(champion, new):
        return Incomparable(champion=version, why=why, unread=unread)
    return Comparison(
        champion=version,
        n_rows=len(new.rows),
        champion_ap=average_precision(new.rows.is_fraud, score),
        ap=average_precision(new.rows.is_fraud, new.score),
        difference=ap_difference(new.rows, new.score, score),
        unread=unread,
    )


def ap_difference(rows: Rows, score: Floats, other: Floats) -> Interval:
    """The average precision of ``score`` less that of ``other``, with its 95 % interval.

    Both on the same resamples of customers, so that what is hard for both does not blur it.
    """
    ours, theirs = _ResampledAP(rows.is_fraud, score), _ResampledAP(rows.is_fraud, other)

    def difference(row: npt.NDArray[np.int64], _: npt.NDArray[np.int64]) -> float:
        times = np.bincount(row, minlength=len(rows))
        return ours(times) - theirs(times)

    return bootstrap_interval(difference, rows.customer)


class _ResampledAP:
    """The average precision of resamples, from an order of the rows that is found once."""

    def __init__(self, is_fraud: npt.NDArray[np.bool_], score: Floats) -> None:
        steps = threshold_steps(is_fraud, score)
        self._order = steps.order
        self._is_fraud = is_fraud[steps.order]
        self._last = steps.flagged - 1  # of those with the same score

    def __call__(self, times: npt.NDArray[np.int64]) -> float:
        """The average precision where each row is there so many times: shape ``(N,)``."""
        drawn = times[self._order]
        flagged = np.cumsum(drawn)[self._last]
        found = np.cumsum(drawn * self._is_fraud)[self._last]
        newly = np.diff(found, prepend=0)
        steps = newly > 0
        return float((newly[steps] * (found[steps] / flagged[steps])).sum() / found[-1])


def _score(champion: Artifact, new: NewModel) -> Floats:
    features = new.rows.features
    if champion.spec != new.spec:
        features = new.data.features_of(new.rows, champion.spec)
    score: Floats = champion.net.score(torch.from_numpy(features)).numpy()
    return score


def _unfair(champion: Artifact, new: NewModel) -> str | None:
    """Why the test would favour one of the two, or tell nothing; None: it is fair."""
    trained = champion.lineage.get("train_days", "")
    try:
        until = dt.date.fromisoformat(trained.rpartition(" to ")[2])
    except ValueError:
        return "it does not say on which days it was trained, and may have seen the test"
    if until >= new.data.days.test_start:
        return f"it was trained on {trained}, and the test begins on {new.data.days.test_start}"
    n_defrauded = len(np.unique(new.rows.customer[new.rows.is_fraud]))
    if n_defrauded < MIN_DEFRAUDED:
        return (
            f"the test has {n_defrauded} defrauded customers, and it takes {MIN_DEFRAUDED} to tell"
            " two models apart; give more --test-days"
        )
    return None
