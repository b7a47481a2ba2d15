"""What a training works on: the rows of its days, and their features, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from batch_proc.data_options import DataOptions
from batch_proc.fold import Days, Fold, Rows, features_of, make_fold
from batch_proc.history import History
from batch_proc.inputs import choose_days, read_history
from batch_proc.lineage import fingerprint
from batch_proc.progress import Stages
from fraud_ml.feature_spec import FeatureSpec


class TrainingData(Protocol):
    """Rows to train on, and to test on."""

    @property
    def history(self) -> History:
        """At least of all days, and the one that rows of folds are numbered in."""

    @property
    def days(self) -> Days:
        """As they follow each other."""

    @property
    def n_rows(self) -> int:
        """Of the source."""

    @property
    def fingerprint(self) -> str:
        """Of all that the model depends on."""

    def fold(self) -> Fold:
        """The rows of the days, with the features that the options name.

        Raises:
            DataError: there are no transactions, or no frauds, on these days.
        """

    def features_of(self, rows: Rows, spec: FeatureSpec) -> npt.NDArray[np.float32]:
        """Of rows of the fold, the features that another spec says: shape ``(N, F)``.

        Raises:
            DataError: the history lacks a column that the spec reads.
        """


@dataclass(frozen=True, slots=True)
class InMemory:
    """A whole history in the memory of this process."""

    history: History
    days: Days
    spec: FeatureSpec

    @property
    def n_rows(self) -> int:
        """Of the history."""
        return len(self.history.transactions)

    @property
    def fingerprint(self) -> str:
        """Of the history."""
        return fingerprint((self.history.transactions, self.history.labels))

    def fold(self) -> Fold:
        """As `TrainingData` says."""
        return make_fold(self.history, self.days, self.spec)

    def features_of(self, rows: Rows, spec: FeatureSpec) -> npt.NDArray[np.float32]:
        """As `TrainingData` says."""
        return features_of(rows, self.history, self.days, spec)


def read_into_memory(options: DataOptions, home: Path, stages: Stages) -> InMemory:
    """All of the source that the options name.

    Raises:
        ConnectorError: the source cannot be read.
        DataError: it holds no transactions and labels.
    """
    history = read_history(options, home, stages)
    return InMemory(history, choose_days(options, lambda: history.last_day), options.spec)
