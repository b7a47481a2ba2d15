"""What TorchServe calls: a batch of requests in, a batch of answers out.

The work is :class:`~fraud_detect.scorer.Scorer`'s. Where the worker finds model and state, the
launcher says in the environment (:mod:`fraud_detect.worker_settings`).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from functools import partial
from typing import Any

from fraud_detect import torchserve_codec
from fraud_detect.after_answers import AfterAnswers
from fraud_detect.answers import ARROW, JSON
from fraud_detect.at_work import AtWork
from fraud_detect.decision_log import DecisionLog
from fraud_detect.drift import Drift
from fraud_detect.garbage import keep_collections_short
from fraud_detect.scorer import Call, Scorer
from fraud_detect.service_metrics import DRIFT_EVERY, TELL_EVERY, ServiceMetrics, worker_name
from fraud_detect.shadow import Shadow
from fraud_detect.worker_settings import WorkerSettings


class FraudHandler:
    """One worker."""

    def __init__(self) -> None:
        self.initialized = False
        self._scorer: Scorer
        self._metrics: ServiceMetrics
        self._decisions: DecisionLog | None = None
        self._drift: Drift | None = None
        self._at_work: AtWork | None = None
        self._after = AfterAnswers()
        self._drift_at = 0.0

    def initialize(self, context: Any) -> None:
        """Loads the version of the model that the archive names, and the latest state."""
        # TorchServe writes a line for every batch at INFO, which its frontend reads and parses.
        logging.getLogger().setLevel(logging.WARNING)
        version = context.manifest["model"]["modelVersion"]
        self._at_work = AtWork.from_environment(version)
        torchserve_codec.read_in_large_pieces(begun=self._begun, answered=self._answered)
        settings = WorkerSettings.from_environment()
        self._scorer = settings.scorer(version)
        model = self._scorer.model
        self._metrics = ServiceMetrics(model, worker=worker_name())
        if settings.decision_log:
            self._decisions = DecisionLog(
                settings.decision_log, model=model.name, version=model.version
            )
            self._scorer.watchers.append(self._decisions)
        self._scorer.watchers.append(self._after.watcher(self._metrics))
        if settings.shadow_log:
            spec = self._scorer.artifact.spec
            shadow = Shadow(settings, version=model.version, spec=spec)
            self._scorer.watchers.append(self._after.watcher(shadow))
        if self._scorer.artifact.reference is not None:
            self._drift = Drift(self._scorer.artifact.reference)
            self._scorer.watchers.append(self._after.watcher(self._drift))
        self._scorer.warm_up()
        keep_collections_short()
        threading.Thread(target=self._tell, daemon=True).start()
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """The answers to ``data``, in its order; each has its own HTTP status."""
        self._after.run()  # where nobody said that the last ones were sent
        calls = [
            Call(
                body=parts.get("body") or parts.get("data") or b"",
                content_type=_content_type(context, number),
                explain=context.get_request_header(number, "explain") == "True",
            )
            for number, parts in enumerate(data)
        ]
        found = self._scorer.answer(calls)
        self._after.add(partial(self._metrics.answered, found, self._scorer.seconds))
        for number, answer in enumerate(found):
            context.set_response_status(answer.status, idx=number)
            context.set_response_content_type(number, answer.content_type)
        return [answer.body for answer in found]

    def _begun(self) -> None:
        if self._at_work is not None:
            self._at_work.begin()

    def _answered(self) -> None:
        self._after.run()
        if self._at_work is not None:
            self._at_work.end()

    def _tell(self) -> None:
        """Tells TorchServe what was counted, every second, as long as the worker lives."""
        while True:
            time.sleep(TELL_EVERY)
            if self._decisions is not None:
                self._decisions.poll()
                for outcome, count in self._decisions.counts().items():
                    self._metrics.set("fraud_decision_log_total", count, outcome)
            for key, count in self._scorer.state.replica.state.n_keys.items():
                self._metrics.set("fraud_state_keys", count, key)
            if self._drift is not None and time.monotonic() >= self._drift_at:
                self._tell_drift(self._drift)
            sys.stdout.write(self._metrics.lines())
            sys.stdout.flush()

    def _tell_drift(self, drift: Drift) -> None:
        n_rows, of_score, of_features = drift.measure()
        self._metrics.set("fraud_drift_rows", n_rows)
        self._metrics.set("fraud_score_psi", of_score)
        for name, of_feature in of_features.items():
            self._metrics.set("fraud_feature_psi", of_feature, name)
        if n_rows:  # the first payments of a new worker do not wait a minute
            self._drift_at = time.monotonic() + DRIFT_EVERY


def _content_type(context: Any, number: int) -> str:
    """Arrow where the caller says so; all else is taken for JSON."""
    headers = context.get_all_request_header(number)
    part = headers.get("body") or headers.get("data") or {}
    said = part.get("content-type", "")
    return ARROW if said.partition(";")[0].strip().lower() == ARROW else JSON
