"""Scores transactions with a model: all that a server of ours does, without a server.

A program can call it in its own process; TorchServe does so through
:mod:`fraud_detect.handler`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from msgspec import UNSET

from fraud_detect import answers, tensors
from fraud_detect.answers import (
    ARROW,
    JSON,
    Contribution,
    Error,
    Explanation,
    Many,
    Model,
    One,
    Reason,
    Refused,
    Scored,
)
from fraud_detect.arrow_format import ArrowFormat
from fraud_detect.errors import RequestError
from fraud_detect.online_state import Features
from fraud_detect.scored_batch import ScoredBatch, Watcher, rows_of
from fraud_detect.transactions import Columns, Request, TransactionFormat
from fraud_ml.artifact import Artifact
from fraud_ml.attribution import Attributor
from fraud_ml.fast_net import FastNet
from fraud_ml.policy import Decision, DecisionPolicy
from fraud_ml.reasons import Explainer
from fraud_ml.replica import Replica, features_of_nobody

STAGES = ("parse", "state", "score", "decide", "answer")
"""What is done to a batch, in this order. To decide includes the watchers."""

_DECISIONS = tuple(decision.name.lower() for decision in Decision)
_OK = 200
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Call:
    """What one caller sent."""

    body: bytes | bytearray
    content_type: str = JSON
    explain: bool = False
    """Answer with the contributions of all features."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one caller gets."""

    status: int
    """Of HTTP."""
    body: bytes
    content_type: str = JSON


class State(Protocol):
    """Where the features come from: an :class:`~fraud_detect.online_state.OnlineState`."""

    @property
    def replica(self) -> Replica:
        """The state as of now."""

    def count(self, columns: Mapping[str, Sequence[Any]]) -> Features:
        """The features of transactions, which count from now on."""


class _Stopwatch:
    """How long each stage took, in seconds; those that were left out are missing."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._before
        self._before = now


class Scorer:
    """A model with the state of its features, ready to score."""

    def __init__(
        self, artifact: Artifact, state: State, *, name: str, version: int, threads: int = 1
    ) -> None:
        """Prepares a model.

        Args:
            artifact: the model.
            state: of the artifact's features.
            name: of the model, for answers.
            version: of it.
            threads: for scoring.
        """
        self.artifact = artifact
        self.state = state
        self.model = Model(name, version)
        """Which one answers."""
        self._format = TransactionFormat(artifact.spec)
        self._score = FastNet(artifact.net.tables(), threads=threads).score
        self._explainer = Explainer(artifact.net, artifact.spec)
        self._attributor = Attributor(artifact.net)
        self._arrow = ArrowFormat(artifact.spec)
        self.watchers: list[Watcher] = []
        """Called with each batch after it was scored, before it is answered: they must be quick."""
        self.seconds: Mapping[str, float] = {}
        """What each of the :data:`STAGES` of the last answers took, but those left out."""

    def warm_up(self) -> None:
        """Does to payments of nobody all that is done to payments, so that the first need not wait.

        Nothing of it counts. Where this machine never computed features before, they are compiled
        now, which takes half a minute.
        """
        rows = features_of_nobody(self.artifact.spec).astype(np.float32)
        self._score(rows)
        self._explainer.explain(rows)

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        """The answers to calls, whose transactions are scored in one pass, in this order."""
        stopwatch = _Stopwatch()
        requests = [self._read(call) for call in calls]
        stopwatch.stop("parse")
        found = self._score_all([r for r in requests if isinstance(r, Request)], stopwatch)
        given = [
            Answer(request.status, answers.encode(Error(str(request))))
            if isinstance(request, RequestError)
            else self._answer(request, next(found), call)
            for call, request in zip(calls, requests, strict=True)
        ]
        stopwatch.stop("answer")
        self.seconds = stopwatch.seconds
        return given

    def _read(self, call: Call) -> Request | RequestError:
        try:
            if call.content_type == ARROW:
                return self._arrow.read(call.body)
            request = self._format.read(call.body)
            if request.infer is not None and call.explain:
                raise RequestError(400, "KServe v2 has no explanations here: send transactions")
            return request
        except RequestError as error:
            return error

    def _score_all(
        self, requests: Sequence[Request], stopwatch: _Stopwatch
    ) -> Iterator[ScoredBatch]:
        """Of each request, what became of its valid transactions."""
        columns = _joined([request.columns for request in requests], self._format.columns)
        if not columns["transaction_id"]:
            nothing = np.zeros(0, dtype=np.float32)
            yield from (
                ScoredBatch(columns, nothing, nothing, (), degraded=False) for _ in requests
            )
            return
        features = self.state.count(columns)
        rows = features.rows.astype(np.float32)
        stopwatch.stop("state")
        scores = self._score(rows)
        stopwatch.stop("score")
        decisions = decisions_of(self.artifact.policy, scores, columns["amount"])
        for watch in self.watchers:
            watch(ScoredBatch(columns, rows, scores, decisions, features.degraded))
        stopwatch.stop("decide")
        start = 0
        for request in requests:
            stop = start + len(request.columns["transaction_id"])
            part = slice(start, stop)
            yield ScoredBatch(
                request.columns, rows[part], scores[part], decisions[part], features.degraded
            )
            start = stop

    def _reasons(self, batch: ScoredBatch) -> list[list[Reason]]:
        transactions = [
            dict(zip(batch.columns, values, strict=True))
            for values in zip(*batch.columns.values(), strict=True)
        ]
        return [
            [
                Reason(
                    feature=why.feature,
                    value=_or_none(why.value),
                    contribution=why.contribution,
                    text=why.text,
                )
                for why in found
            ]
            for found in self._explainer.explain(batch.features, transactions)
        ]

    def _explanations(self, batch: ScoredBatch) -> list[Explanation]:
        found = self._attributor.attribute(torch.from_numpy(batch.features))
        names = self.artifact.spec.names
        return [
            Explanation(
                baseline=found.baseline,
                log_odds=log_odds,
                features={
                    name: Contribution(_or_none(value), contribution)
                    for name, value, contribution in zip(names, values, parts, strict=True)
                },
            )
            for log_odds, values, parts in zip(
                found.logits.tolist(),
                batch.features.tolist(),
                found.contributions.tolist(),
                strict=True,
            )
        ]

    def _answer(self, request: Request, batch: ScoredBatch, call: Call) -> Answer:
        if call.content_type == ARROW:
            return Answer(_OK, self._arrow.write(request, batch, self.model), ARROW)
        if request.infer is not None and not (request.is_single and request.errors[0]):
            rows, model = rows_of(request, batch), self.model
            body = tensors.write(request.infer, rows, name=model.name, version=model.version)
            return Answer(_OK, body)
        scored = self._listed(request, batch, explain=call.explain)
        if request.is_single:
            (invalid,) = request.errors
            if invalid is not None:
                return Answer(_BAD_REQUEST, answers.encode(Error(invalid.error)))
            return Answer(_OK, answers.encode(One.of(scored[0], self.model)))
        return Answer(_OK, answers.encode(Many(_in_order(request, scored), self.model)))

    def _listed(self, request: Request, batch: ScoredBatch, *, explain: bool) -> list[Scored]:
        """The answers to a request's valid transactions."""
        ids, scores = batch.columns["transaction_id"], batch.scores.tolist()
        none: Sequence[Any] = [UNSET] * len(ids)
        reasons = self._reasons(batch) if request.reasons and ids else none
        explanations = self._explanations(batch) if explain and ids else none
        degraded = repeat(True if batch.degraded else UNSET)
        return [*map(Scored, ids, scores, batch.decisions, reasons, explanations, degraded)]


def decisions_of(
    policy: DecisionPolicy | None, scores: npt.NDArray[np.float32], amounts: Sequence[float]
) -> list[str | None]:
    """What a model's policy makes of scores; None of each where the model has none."""
    if policy is None:
        return [None] * len(scores)
    decided = policy.decide(scores.astype(np.float64), np.array(amounts, dtype=np.float64))
    return [_DECISIONS[decision] for decision in decided.tolist()]


def _joined(parts: Sequence[Columns], names: Sequence[str]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: [value for part in parts for value in part[name]] for name in names}


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _in_order(request: Request, scored: list[Scored]) -> Sequence[Scored | Refused]:
    """The answers to all transactions of ``request``: those ``scored``, and why not to others."""
    if len(scored) == len(request.errors):
        return scored
    valid = iter(scored)
    return [
        next(valid) if wrong is None else Refused(wrong.transaction_id, wrong.error)
        for wrong in request.errors
    ]
