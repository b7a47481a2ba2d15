"""Scores features with a stored model, in this process: what every server of ours calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from fraud_ml.artifact import Artifact, load_artifact


class FeatureMismatchError(ValueError):
    """The features given are not those that the model was trained on."""


class Scorer:
    """A model in memory, ready to score.

    It takes features by name and refuses others, so that a model cannot be fed another
    model's features without anybody noticing.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    @classmethod
    def from_folder(cls, folder: Path) -> Scorer:
        """The scorer of the model artifact in `folder`.

        Raises:
            ArtifactError: the artifact is damaged, incomplete or of another version.
        """
        return cls(load_artifact(folder))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that `score` takes."""
        return self._artifact.spec.names

    def score(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """The probability of fraud of each row, shape (N,), 0 to 1.

        Args:
            features: N rows; columns in any order, without nulls.

        Raises:
            FeatureMismatchError: a column is missing, unknown, or has a null.
        """
        names = self.feature_names
        missing = sorted(set(names) - set(features.column_names))
        unknown = sorted(set(features.column_names) - set(names))
        if missing or unknown:
            raise FeatureMismatchError(
                f"the model takes {', '.join(names)}; {missing=}, {unknown=}:"
                " compute features with the spec in the model's artifact"
            )
        incomplete = [name for name in names if features.column(name).null_count]
        if incomplete:
            raise FeatureMismatchError(f"features must have values, nulls in {incomplete}")
        columns = [features.column(name).to_numpy() for name in names]
        matrix = np.stack(columns, axis=1).astype(np.float32)  # (N, F)
        with torch.inference_mode():
            score: npt.NDArray[np.float32] = self._artifact.net.score(
                torch.from_numpy(matrix)
            ).numpy()
        return score
