"""What a model's scores come from: which features move them, and examples in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fraud_ml.attribution import Attributor
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.model import FraudNet
from fraud_ml.policy import Decision
from fraud_ml.reasons import Explainer

SAMPLE = 5_000
"""Payments whose contributions are averaged, at most: a mean needs no more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One payment and why it scored as it did."""

    title: str
    """What is notable about it."""
    transaction: str
    score: float
    amount: float
    reasons: tuple[str, ...]


def mean_contributions(
    net: FraudNet, features: npt.NDArray[np.float32], names: Sequence[str], *, seed: int = 0
) -> list[tuple[str, float]]:
    """Each feature's mean absolute contribution to the log-odds, the largest first.

    Args:
        net: the model.
        features: of payments, shape ``(N, F)``; more than :data:`SAMPLE` are sampled.
        names: of the F features.
        seed: of the sample.
    """
    if len(features) > SAMPLE:
        rng = np.random.default_rng(seed)
        features = features[np.sort(rng.choice(len(features), SAMPLE, replace=False))]
    if not len(features):
        return []
    attributor = Attributor(net)
    parts = [
        attributor.attribute(part).contributions.abs()
        for part in torch.split(torch.from_numpy(np.ascontiguousarray(features)), 1_000)
    ]
    means = torch.cat(parts).mean(dim=0).tolist()
    return sorted(zip(names, means, strict=True), key=lambda it: (-it[1], it[0]))


def examples(
    net: FraudNet,
    spec: FeatureSpec,
    features: npt.NDArray[np.float32],
    *,
    transactions: Sequence[dict[str, object]],
    titles: Sequence[str],
    score: npt.NDArray[np.floating],
) -> list[Example]:
    """The given payments with their reasons in words.

    Args:
        net: the model.
        spec: of its features.
        features: of B payments, shape ``(B, F)``.
        transactions: what each of the B payments is; ``transaction_id`` and ``amount`` are shown.
        titles: what is notable about each.
        score: of each, shape ``(B,)``.
    """
    if not len(features):
        return []
    reasons = Explainer(net, spec).explain(np.ascontiguousarray(features), transactions)
    return [
        Example(
            title=title,
            transaction=str(transaction["transaction_id"]),
            score=float(value),
            amount=float(str(transaction["amount"])),
            reasons=tuple(reason.text for reason in found),
        )
        for title, transaction, value, found in zip(
            titles, transactions, score, reasons, strict=True
        )
    ]


def notable(
    is_fraud: npt.NDArray[np.bool_],
    score: npt.NDArray[np.floating],
    decision: npt.NDArray[np.int8],
) -> list[tuple[int, str]]:
    """Numbers of payments worth a look, and why: found, wrongly suspected, missed."""
    order = np.argsort(-score, kind="stable")
    flagged = decision[order] > Decision.APPROVE
    fraud = is_fraud[order]
    wanted = (
        (order[fraud & flagged][:2], "fraud, found"),
        (order[~fraud & flagged][:1], "no fraud, yet flagged"),
        (order[fraud & ~flagged][-1:], "fraud, missed"),
    )
    return [(row, title) for rows, title in wanted for row in rows.tolist()]
