"""A training's state in a file, so that it survives the end of its process."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fraud_ml.errors import DataError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file with the state of one training, which knows whose it is."""

    path: Path
    fingerprint: str
    """Of the rows and settings of the training."""

    @classmethod
    def of(
        cls, path: Path, arrays: Sequence[npt.NDArray[Any]], settings: tuple[object, ...]
    ) -> Checkpoint:
        """The checkpoint at ``path`` of a training on ``arrays`` with ``settings``."""
        digest = hashlib.sha256(repr((settings, torch.__version__)).encode())
        for array in arrays:
            digest.update(repr((array.shape, array.dtype)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return cls(path, digest.hexdigest())

    def load(self) -> dict[str, Any] | None:
        """What was saved last, or None.

        Raises:
            DataError: the file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)  # no code runs
            fingerprint, state = content["fingerprint"], content["state"]
        except (
            RuntimeError,
            OSError,
            EOFError,
            KeyError,
            TypeError,
            pickle.UnpicklingError,
        ) as error:
            raise DataError(
                f"{self.path} is no checkpoint, or damaged: {error}; remove it to start anew"
            ) from error
        if fingerprint != self.fingerprint:
            raise DataError(
                f"{self.path} is the checkpoint of another training (other rows, settings, seed,"
                " number of processes or version of torch); remove it to start anew"
            )
        return dict(state)

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved before; a process that dies meanwhile leaves the old one."""
        part = self.path.with_name(f"{self.path.name}.part")
        with part.open("wb") as file:
            torch.save({"fingerprint": self.fingerprint, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
