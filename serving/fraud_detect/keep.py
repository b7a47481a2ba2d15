"""The keeper's process: started by the service, stopped by SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
from functools import cache

from data_connector import ModelStore
from fraud_detect.keeper import Keeper
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings
from fraud_ml.artifact import load_artifact
from fraud_ml.feature_spec import FeatureSpec


class SpecsOfModels:
    """The specs of the version that a server started with, and of all that have an alias."""

    def __init__(self, store: ModelStore, version: int) -> None:
        self._store = store
        self._version = version
        self._spec_of = cache(self._load)  # a version never changes

    def __call__(self) -> list[FeatureSpec]:
        """As of now.

        Raises:
            ArtifactError: a version is damaged.
            ConnectorError: the store cannot be read.
        """
        versions = {self._version, *self._store.aliases(MODEL_NAME).values()}
        return [self._spec_of(version) for version in sorted(versions)]

    def _load(self, version: int) -> FeatureSpec:
        return load_artifact(self._store.get(MODEL_NAME, version).path).spec


def main() -> None:
    """Keeps the states of all models in use; the one argument is the version that serves."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = WorkerSettings.from_environment()
    specs = SpecsOfModels(ModelStore(settings.model_store), int(sys.argv[1]))
    Keeper(settings.feature_store, specs).run(stop)


if __name__ == "__main__":
    main()
