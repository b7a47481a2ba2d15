"""Scores transactions with a model: all that a server of ours does, without a server.

A program can call it in its own process; TorchServe does so through
:mod:`fraud_detect.handler`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from fraud_detect import answers
from fraud_detect.answers import Error, Many, Model, One, Reason, Refused, Scored
from fraud_detect.errors import RequestError
from fraud_detect.online_state import OnlineState
from fraud_detect.runtime import score_function
from fraud_detect.transactions import Columns, Request, TransactionFormat
from fraud_ml.artifact import Artifact
from fraud_ml.policy import Decision
from fraud_ml.reasons import Explainer

_DECISIONS = tuple(decision.name.lower() for decision in Decision)
_OK = 200
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request gets."""

    status: int
    """Of HTTP."""
    body: bytes
    """JSON."""


class Scorer:
    """A model with the state of its features, ready to score."""

    def __init__(
        self, artifact: Artifact, state: OnlineState, *, name: str, version: int, threads: int = 1
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
        self._model = Model(name, version)
        self._format = TransactionFormat(artifact.spec)
        self._score = score_function(artifact, threads=threads)
        self._explainer = Explainer(artifact.net, artifact.spec)

    def warm_up(self) -> None:
        """Scores rows of nothing, that change nothing, so that the first payment need not wait."""
        rows = np.full((2, len(self.artifact.spec.names)), np.nan, dtype=np.float32)
        self._score(rows)

    def answer(self, bodies: Sequence[bytes | bytearray]) -> list[Answer]:
        """The answers to requests, whose transactions are scored in one pass, in this order."""
        requests = [self._read(body) for body in bodies]
        readable = [request for request in requests if isinstance(request, Request)]
        scored = iter(self._score_all(readable))
        return [
            Answer(request.status, answers.encode(Error(str(request))))
            if isinstance(request, RequestError)
            else self._answer(request, next(scored))
            for request in requests
        ]

    def _read(self, body: bytes | bytearray) -> Request | RequestError:
        try:
            return self._format.read(body)
        except RequestError as error:
            return error

    def _score_all(self, requests: Sequence[Request]) -> Iterator[list[Scored]]:
        """Of each request, the answers to its valid transactions."""
        columns = _joined([request.columns for request in requests], self._format.columns)
        ids = columns["transaction_id"]
        if not ids:
            yield from ([] for _ in requests)
            return
        features = self.state.count(columns)
        rows = features.rows.astype(np.float32)
        scores = self._score(rows)
        decisions = self._decide(scores, columns["amount"])
        degraded = True if features.degraded else UNSET
        start = 0
        for request in requests:
            stop = start + len(request.columns["transaction_id"])
            part = slice(start, stop)
            values = zip(ids[part], scores[part].tolist(), decisions[part], strict=True)
            if request.reasons:
                reasons = self._reasons(rows[part], request.columns)
                yield [
                    Scored(*one, why, degraded) for one, why in zip(values, reasons, strict=True)
                ]
            else:
                yield [Scored(*one, UNSET, degraded) for one in values]
            start = stop

    def _decide(
        self, scores: npt.NDArray[np.float32], amounts: Sequence[float]
    ) -> list[str | None]:
        policy = self.artifact.policy
        if policy is None:
            return [None] * len(scores)
        decided = policy.decide(scores.astype(np.float64), np.array(amounts, dtype=np.float64))
        return [_DECISIONS[decision] for decision in decided.tolist()]

    def _reasons(self, rows: npt.NDArray[np.float32], columns: Columns) -> list[list[Reason]]:
        transactions = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        return [
            [
                Reason(
                    why.feature,
                    None if np.isnan(why.value) else why.value,
                    why.contribution,
                    why.text,
                )
                for why in found
            ]
            for found in self._explainer.explain(rows, transactions)
        ]

    def _answer(self, request: Request, scored: list[Scored]) -> Answer:
        if request.is_single:
            (invalid,) = request.errors
            if invalid is not None:
                return Answer(_BAD_REQUEST, answers.encode(Error(invalid.error)))
            (one,) = scored
            fields = {field: getattr(one, field) for field in one.__struct_fields__}
            return Answer(_OK, answers.encode(One(**fields, model=self._model)))
        valid = iter(scored)
        listed = [
            next(valid) if wrong is None else Refused(wrong.transaction_id, wrong.error)
            for wrong in request.errors
        ]
        return Answer(_OK, answers.encode(Many(listed, self._model)))


def _joined(parts: Sequence[Columns], names: Sequence[str]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: [value for part in parts for value in part[name]] for name in names}
