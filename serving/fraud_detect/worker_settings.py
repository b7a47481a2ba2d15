"""What the launcher tells the workers, through their environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_connector import ModelStore, open_journal
from fraud_detect.errors import ServingError
from fraud_detect.late_state import online_state
from fraud_detect.online_state import OnlineState
from fraud_detect.scorer import Scorer
from fraud_detect.snapshots import Snapshots
from fraud_detect.store_url import hasty
from fraud_ml.artifact import load_artifact

MODEL_NAME = "fraud"


def usual_feature_store(home: Path) -> str:
    """The URL of the feature store where the user names no other.

    Args:
        home: ``$FRAUD_HOME``.
    """
    return f"sqlite:///{home / 'features.db'}"


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """Where a worker finds what it needs; URLs, or names of variables and files that hold them."""

    model_store: str
    feature_store: str
    """Of snapshots and journal."""
    shadow_log: str = ""
    """Of a database for the scores of challengers; empty: none scores."""
    decision_log: str = ""
    """Of a database for every decision; empty: none."""
    threads: int = field(default_factory=_cores)
    """That share a batch of hundreds; of fewer, one scores all."""

    def environment(self) -> dict[str, str]:
        """Variables that :meth:`from_environment` reads."""
        return {
            "FRAUD_MODEL_STORE": self.model_store,
            "FRAUD_FEATURE_STORE": self.feature_store,
            "FRAUD_SHADOW_LOG": self.shadow_log,
            "FRAUD_DECISION_LOG": self.decision_log,
            "FRAUD_SCORING_THREADS": str(self.threads),
        }

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> WorkerSettings:
        """The settings in ``variables``.

        Raises:
            ServingError: one is missing.
        """
        try:
            return cls(
                model_store=variables["FRAUD_MODEL_STORE"],
                feature_store=variables["FRAUD_FEATURE_STORE"],
                shadow_log=variables.get("FRAUD_SHADOW_LOG", ""),
                decision_log=variables.get("FRAUD_DECISION_LOG", ""),
                threads=int(variables.get("FRAUD_SCORING_THREADS") or _cores()),
            )
        except KeyError as error:
            raise ServingError(
                f"environment variable {error} is missing: start the service by //serving:serve, or"
                " give the URLs of the model store and the feature store"
            ) from None

    def scorer(self, version: str) -> Scorer:
        """The scorer of a model's version, with the state as of now, or as soon as it is there.

        Args:
            version: a number, or an alias as ``champion``.

        Raises:
            ServingError: there is no such version.
            ArtifactError: it is damaged.
            ConnectorError: the model store cannot be read, or the feature store holds no state.
        """
        store = ModelStore(self.model_store)
        stored = (
            store.get(MODEL_NAME, int(version))
            if version.isdigit()
            else store.resolve(MODEL_NAME, version)
        )
        artifact = load_artifact(stored.path)

        def open_state() -> OnlineState:
            journal = open_journal(hasty(self.feature_store))
            return OnlineState(journal, Snapshots(self.feature_store, artifact.spec))

        state = online_state(open_state, artifact.spec)
        return Scorer(
            artifact, state, name=MODEL_NAME, version=stored.version, threads=self.threads
        )
