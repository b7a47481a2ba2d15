"""Which model scores: a version of the model store, or an artifact's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batch_proc.data_options import MODEL_NAME
from batch_proc.scoring import PackedModel, pack_model
from data_connector import ModelStore
from data_connector.errors import ModelNotFoundError
from data_connector.model_aliases import choose
from fraud_ml.artifact import Artifact, load_artifact


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenModel:
    """A model, loaded once and packed for the workers."""

    name: str
    version: int | None
    """None: it is of no model store."""
    artifact: Artifact
    packed: PackedModel

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name} version {self.version}"


def choose_model(wanted: str | None, store: ModelStore) -> ChosenModel:
    """The model that was asked for.

    Args:
        wanted: a version, an alias, or the path of an artifact's folder; None: the champion, or
            the newest where there is none.
        store: where versions are.

    Raises:
        ModelNotFoundError: there is no such model.
        ArtifactError: it is damaged, or of another release.
        ConnectorError: the store cannot be read.
    """
    if wanted is not None and ("/" in wanted or Path(wanted).is_dir()):
        folder = Path(wanted)
        if not folder.is_dir():
            raise ModelNotFoundError(f"--model {wanted}: no such folder")
        return _loaded(folder.absolute().name, None, folder)
    stored = choose(store, MODEL_NAME, wanted)
    return _loaded(stored.name, stored.version, stored.path)


def _loaded(name: str, version: int | None, folder: Path) -> ChosenModel:
    artifact = load_artifact(folder)
    packed = pack_model(artifact)
    return ChosenModel(name=name, version=version, artifact=artifact, packed=packed)
