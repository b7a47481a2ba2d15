"""A challenger that scores what the champion has answered, and is never answered itself.

The scores of both go to a table, in which `//serving:deploy --status` looks at how they differ. It
runs in a thread of the worker, after the answer: a payment does not wait for it, but shares the
processor with it. What it cannot keep up with is left out, and counted.
"""

from __future__ import annotations

import datetime as dt
import logging
import queue
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_connector import ConnectorError, ModelStore, load, open_journal
from data_connector.model_aliases import CHALLENGER
from fraud_detect.errors import ServingError
from fraud_detect.online_state import OnlineState
from fraud_detect.scored_batch import ScoredBatch
from fraud_detect.scorer import decisions_of
from fraud_detect.shadow_table import COMPARED, MISSED, TABLE, TABLE_OF_MISSED
from fraud_detect.snapshots import Snapshots
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings
from fraud_ml.artifact import load_artifact
from fraud_ml.errors import ArtifactError
from fraud_ml.fast_net import FastNet
from fraud_ml.feature_spec import FeatureSpec

WAITING = 200
"""Batches that may wait; those above are left out."""
LOOK_EVERY = 2.0
"""Seconds between looks whether there is a challenger, and between writes."""

Rows = list[dict[str, Any]]

log = logging.getLogger(__name__)


class _Challenger:
    """The model, with a state of its own where its features are others than the champion's."""

    def __init__(self, settings: WorkerSettings, version: int, champion: FeatureSpec) -> None:
        stored = ModelStore(settings.model_store).get(MODEL_NAME, version)
        artifact = load_artifact(stored.path)
        self.version = version
        self._score = FastNet(artifact.net.tables()).score
        self._policy = artifact.policy
        self._state: OnlineState | None = None
        if artifact.spec != champion:
            journal = open_journal(settings.feature_store)
            self._state = OnlineState(journal, Snapshots(settings.feature_store, artifact.spec))

    def compare(self, batch: ScoredBatch) -> Rows:
        """What both say of the transactions, but those whose features are not known."""
        known, features = self._features(batch)
        if not known:
            return []
        scores = self._score(features)
        amounts = [batch.columns["amount"][row] for row in known]
        decisions = decisions_of(self._policy, scores, amounts)
        return [
            {
                "transaction_id": str(batch.columns["transaction_id"][row]),
                "champion_score": float(batch.scores[row]),
                "challenger_score": score,
                "champion_decision": batch.decisions[row],
                "challenger_decision": decision,
                "challenger_version": self.version,
            }
            for row, score, decision in zip(known, scores.tolist(), decisions, strict=True)
        ]

    def _features(self, batch: ScoredBatch) -> tuple[list[int], npt.NDArray[np.float32]]:
        """Which transactions have features, and these."""
        if self._state is None:
            return list(range(len(batch.scores))), batch.features
        self._state.catch_up()
        replica = self._state.replica
        found = [replica.features_of(name) for name in batch.columns["transaction_id"]]
        known = [row for row, features in enumerate(found) if features is not None]
        return known, np.array([found[row] for row in known], dtype=np.float32)


class Shadow:
    """A watcher of a scorer that lets the challenger score, too, if there is one."""

    def __init__(self, settings: WorkerSettings, *, version: int, spec: FeatureSpec) -> None:
        """Begins to look for a challenger.

        Args:
            settings: of the worker.
            version: of the model that the scorer has.
            spec: of its features.
        """
        self._settings = settings
        self._version = version
        self._spec = spec
        self._store = ModelStore(settings.model_store)
        self._challenger: _Challenger | None = None
        self._wanted: int | None = None
        self._waiting: queue.Queue[ScoredBatch] = queue.Queue(WAITING)
        self._rows: Rows = []
        self._missed = 0
        self._left_out = 0  # written by the scorer's thread alone, and never reset
        self._told = 0  # of those left out
        self.looks = 0
        """How often it has looked for a challenger."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __call__(self, batch: ScoredBatch) -> None:
        """Takes a batch, or leaves it out where too many wait."""
        if self._challenger is None:
            return
        try:
            self._waiting.put_nowait(batch)
        except queue.Full:
            self._left_out += len(batch.scores)

    def close(self) -> None:
        """Compares what waits, writes it, and ends."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = 0.0
        while not (self._stop.is_set() and self._waiting.empty()):
            if time.monotonic() >= due:
                self._write()
                self._look()
                self.looks += 1
                due = time.monotonic() + LOOK_EVERY
            try:
                batch = self._waiting.get(timeout=0.1)
            except queue.Empty:
                continue
            self._compare(batch)
        self._write()

    def _look(self) -> None:
        """Takes the challenger of now."""
        try:
            version = self._store.aliases(MODEL_NAME).get(CHALLENGER)
            if version == self._wanted:
                return
            self._wanted, self._challenger = version, None
            if version is not None and version != self._version:
                self._challenger = _Challenger(self._settings, version, self._spec)
        except ConnectorError as error:
            log.error("no challenger scores for now: %s", error)
            self._wanted = None
        except (ArtifactError, ServingError) as error:
            log.error("no challenger scores: %s", error)

    def _compare(self, batch: ScoredBatch) -> None:
        challenger = self._challenger
        if challenger is None:
            return
        rows: Rows = []
        try:
            rows = challenger.compare(batch)
        except (ConnectorError, ServingError) as error:
            log.error("the challenger missed some: %s", error)
        self._missed += len(batch.scores) - len(rows)
        self._rows += rows

    def _write(self) -> None:
        """Writes what was compared, and how many were not."""
        rows, self._rows = self._rows, []
        left_out = self._left_out
        missed, self._missed = self._missed + left_out - self._told, 0
        self._told = left_out
        common = {"at": dt.datetime.now(dt.UTC), "champion_version": self._version}
        if rows:
            self._append([common | row for row in rows], COMPARED, TABLE)
        if missed and self._challenger is not None:
            versions = {"challenger_version": self._challenger.version, "missed": missed}
            self._append([common | versions], MISSED, TABLE_OF_MISSED)

    def _append(self, rows: Rows, schema: pa.Schema, table: str) -> None:
        try:
            data = pa.Table.from_pylist(rows, schema=schema)
            load(data, self._settings.shadow_log, table=table, if_exists="append", retries=2)
        except ConnectorError as error:
            log.error("%d rows of table %s were not written: %s", len(rows), table, error)
