"""What a worker counts, and how it tells: lines that TorchServe gathers for Prometheus.

TorchServe parses a line of a worker for each value, so that what happens thousands of times a
second is counted here, and told once a second. Workers tell what was added since the last time;
TorchServe adds up, over all workers, and over those that were killed. What a killed worker counted
in its last second is not told.

Of a gauge TorchServe keeps what was told last of the same labels. So gauges have the label
``worker``, and its successor has the same as a worker that was killed.
"""

from __future__ import annotations

import re
import socket
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from fraud_detect.answers import Model
from fraud_detect.scored_batch import ScoredBatch
from fraud_detect.scorer import STAGES, Answer

TELL_EVERY = 1.0
"""Seconds."""
DRIFT_EVERY = 60.0
"""Seconds between measures of drift."""
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
SCORES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
TOTAL = "total"
"""Beside the scorer's stages, the time of all of them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One that TorchServe is told to expect; it drops all others."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    labels: tuple[str, ...] = ()
    """Beside those that all of a kind have."""

    @property
    def all_labels(self) -> tuple[str, ...]:
        """``version``, the model's; of a gauge ``worker``; then its own."""
        return ("version", *(("worker",) if self.kind == "gauge" else ()), *self.labels)


METRICS = (
    Metric("fraud_requests_total", "counter", "Count", ("status",)),
    Metric("fraud_decisions_total", "counter", "Count", ("decision",)),
    Metric("fraud_degraded_total", "counter", "Count"),
    Metric("fraud_stage_seconds_bucket", "counter", "Count", ("stage", "le")),
    Metric("fraud_stage_seconds_sum", "counter", "Seconds", ("stage",)),
    Metric("fraud_score_bucket", "counter", "Count", ("le",)),
    Metric("fraud_decision_log_total", "counter", "Count", ("outcome",)),
    Metric("fraud_state_keys", "gauge", "Count", ("key",)),
    Metric("fraud_model_info", "gauge", "Count", ("model",)),
    Metric("fraud_drift_rows", "gauge", "Count"),
    Metric("fraud_score_psi", "gauge", "Count"),
    Metric("fraud_feature_psi", "gauge", "Count", ("feature",)),
)

_KINDS = {metric.name: metric for metric in METRICS}
_NO_LABEL = re.compile(r"[^\w.+-]")  # the line's own signs, and what could break it

Labels = tuple[str, ...]


def worker_name(arguments: Sequence[str] = tuple(sys.argv)) -> str:
    """The number of this worker by which TorchServe tells them apart, as in ``.ts.sock.9000``.

    TorchServe starts another in place of one that ended with the same number.

    Args:
        arguments: that TorchServe gave it.
    """
    for option, value in pairwise(arguments):
        if option in {"--sock-name", "--port"}:
            return value.rpartition(".")[2]
    return "0"


class ServiceMetrics:
    """Of one worker, and one version of a model."""

    def __init__(self, model: Model, *, worker: str) -> None:
        """Nothing is counted.

        Args:
            model: the version.
            worker: which one; no other that runs has this name.
        """
        self._version = str(model.version)
        self._worker = worker
        self._values: dict[tuple[str, Labels], float] = {}
        self._told: dict[tuple[str, Labels], float] = {}
        self._statuses: Counter[int] = Counter()
        self._decisions: Counter[str | None] = Counter()
        self._n_degraded = 0
        self._stages = {stage: [0] * (len(SECONDS) + 1) for stage in (*STAGES, TOTAL)}
        self._seconds = dict.fromkeys(self._stages, 0.0)
        self._bounds = np.array(SCORES, dtype=np.float32)
        self._scores = np.zeros(len(SCORES) + 1, dtype=np.int64)
        self.set("fraud_model_info", 1, model.name)

    def __call__(self, batch: ScoredBatch) -> None:
        """Counts what was scored: a watcher of a :class:`~fraud_detect.scorer.Scorer`."""
        self._decisions.update(batch.decisions)
        places = self._bounds.searchsorted(batch.scores)
        self._scores += np.bincount(places, minlength=len(self._scores))
        if batch.degraded:
            self._n_degraded += len(batch.scores)

    def answered(self, answers: Sequence[Answer], seconds: Mapping[str, float]) -> None:
        """Counts calls that were answered together.

        Args:
            answers: to them.
            seconds: that each stage took. Every call waited for all of them.
        """
        self._statuses.update([answer.status for answer in answers])
        for stage, taken in (*seconds.items(), (TOTAL, sum(seconds.values()))):
            self._stages[stage][bisect_left(SECONDS, taken)] += len(answers)
            self._seconds[stage] += taken * len(answers)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Sets a gauge, or a counter that is counted elsewhere.

        Args:
            name: one of :data:`METRICS`.
            value: as of now.
            *labels: values, in the metric's order.
        """
        own = (self._worker,) if _KINDS[name].kind == "gauge" else ()
        self._values[name, (self._version, *own, *labels)] = value

    def lines(self) -> str:
        """What changed since the last call, a line for each; empty where nothing did.

        At first it is all that there is, zeros too: Prometheus takes the first value of a counter
        for where it began, so one that began above zero would hide what it had counted by then.
        """
        self._gather()
        end = f"|#hostname:{socket.gethostname()},{int(time.time())}\n"
        parts = []
        for key, value in self._values.items():
            before = self._told.get(key)
            if value == before:
                continue
            self._told[key] = value
            metric = _KINDS[key[0]]
            told = value - (before or 0) if metric.kind == "counter" else value
            parts.append(_line(metric, key[1], told) + end)
        return "".join(parts)

    def _gather(self) -> None:
        for status, count in list(self._statuses.items()):
            self.set("fraud_requests_total", count, str(status))
        for decision, count in list(self._decisions.items()):
            self.set("fraud_decisions_total", count, decision or "none")
        self.set("fraud_degraded_total", self._n_degraded)
        for stage, counts in self._stages.items():
            self.set("fraud_stage_seconds_sum", self._seconds[stage], stage)
            self._set_buckets("fraud_stage_seconds_bucket", SECONDS, counts, stage)
        self._set_buckets("fraud_score_bucket", SCORES, self._scores.tolist())

    def _set_buckets(
        self, name: str, bounds: Sequence[float], counts: Sequence[int], *labels: str
    ) -> None:
        """Sets a histogram's buckets, of which each has all that is not above its bound."""
        below = np.cumsum(counts).tolist()
        for bound, count in zip((*map(str, bounds), "+Inf"), below, strict=True):
            self.set(name, count, *labels, bound)


def _line(metric: Metric, values: Labels, value: float) -> str:
    labels = ",".join(
        f"{name}:{_NO_LABEL.sub('_', text)}"
        for name, text in zip(metric.all_labels, values, strict=True)
    )
    number = f"{value:.9f}".rstrip("0").rstrip(".")
    return f"[METRICS]{metric.name}.{metric.unit}:{number}|#{labels}|#type:{metric.kind.upper()}"


def declaration() -> str:
    """The metrics as TorchServe's ``metrics.yaml`` declares them, below ``model_metrics``."""
    lines = []
    for kind in ("counter", "gauge"):
        lines.append(f"  {kind}:\n")
        for metric in METRICS:
            if metric.kind == kind:
                labels = ", ".join(metric.all_labels)
                lines.append(
                    f"    - {{name: {metric.name}, unit: {metric.unit}, dimensions: [{labels}]}}\n"
                )
    return "".join(lines)
