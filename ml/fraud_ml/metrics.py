"""How well scores separate fraud from the rest, for the threshold-free and for the analyst."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fraud_ml._checks import Bools, Floats, check_scores

Ints = npt.NDArray[np.integer]


def roc_auc(is_fraud: Bools, score: Floats) -> float:
    """The area under the ROC curve, 0 to 1: how often a fraud scores above a payment that is none.

    Ties count half (Mann and Whitney, 1947).

    Args:
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.

    Raises:
        ValueError: shapes differ, a score is not finite, or one of the two classes is absent.
    """
    check_scores(is_fraud, score)
    n_frauds = int(is_fraud.sum())
    n_others = len(is_fraud) - n_frauds
    if n_others == 0:
        raise ValueError("roc_auc needs payments that are no fraud, got none")
    _, place, ties = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(ties) - (ties - 1) / 2  # 1-based
    rank_sum = float(mean_rank[place[is_fraud]].sum())
    return (rank_sum - n_frauds * (n_frauds + 1) / 2) / (n_frauds * n_others)


def average_precision(is_fraud: Bools, score: Floats) -> float:
    """The precision averaged over recall, 0 to 1: sum of ``(R[i] - R[i - 1]) * P[i]``.

    The thresholds ``i`` are the distinct scores, from the highest down, as in scikit-learn.

    Args:
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.

    Raises:
        ValueError: shapes differ, a score is not finite, or there is no fraud.
    """
    check_scores(is_fraud, score)
    steps = threshold_steps(is_fraud, score)
    precision = steps.found / steps.flagged
    newly_found = np.diff(steps.found, prepend=0)
    return float((newly_found * precision).sum() / is_fraud.sum())


@dataclass(frozen=True, slots=True)
class ThresholdSteps:
    """What each distinct score, from the highest down, flags as a threshold: shape ``(T,)`` each.

    A threshold flags the payments that score at least it.
    """

    threshold: Floats
    flagged: Ints
    """How many payments are flagged."""
    found: Ints
    """How many frauds are among them."""
    order: Ints
    """Row numbers from the highest score down; the first ``flagged`` are flagged: ``(N,)``."""


def threshold_steps(is_fraud: Bools, score: Floats) -> ThresholdSteps:
    """Flagged payments and found frauds at every threshold that makes a difference.

    Args:
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale, finite.
    """
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
    return ThresholdSteps(
        threshold=ordered[last_of_tie],
        flagged=np.flatnonzero(last_of_tie) + 1,
        found=np.cumsum(is_fraud[order])[last_of_tie],
        order=order,
    )


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Arrays as scikit-learn's ``precision_recall_curve`` has them, thresholds ascending."""

    precision: Floats
    """Frauds among the flagged, as a share: shape ``(T + 1,)``, the last is 1."""
    recall: Floats
    """Flagged among the frauds, as a share: shape ``(T + 1,)``, the last is 0."""
    threshold: Floats
    """Distinct scores; payments that score at least it are flagged: shape ``(T,)``."""


def precision_recall_curve(is_fraud: Bools, score: Floats) -> PrecisionRecallCurve:
    """Precision and recall at every distinct score as a threshold.

    Args:
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.

    Raises:
        ValueError: shapes differ, a score is not finite, or there is no fraud.
    """
    check_scores(is_fraud, score)
    steps = threshold_steps(is_fraud, score)
    precision = steps.found / steps.flagged
    recall = steps.found / is_fraud.sum()
    return PrecisionRecallCurve(
        precision=np.append(precision[::-1], 1.0),
        recall=np.append(recall[::-1], 0.0),
        threshold=steps.threshold[::-1],
    )


def card_precision_at_k(
    day: npt.NDArray[np.integer],
    customer: npt.NDArray[np.generic],
    is_fraud: Bools,
    score: Floats,
    k: int = 100,
) -> float:
    """Compromised cards among the ``k`` that investigators look at, mean over days, 0 to 1.

    Each day a customer's card has the largest of its scores, and is compromised if any of its
    payments is fraud. The ``k`` largest scores are looked at (among equals, the lower customer
    first), and a card found compromised does not come back on later days. Days with fewer cards
    still divide by ``k``. Handbook, section 4.3: CP@k.

    Args:
        day: shape ``(N,)``.
        customer: id or number of each payment's customer, shape ``(N,)``.
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.
        k: how many cards investigators can look at in a day, at least 1.

    Raises:
        ValueError: shapes differ, a score is not finite, there is no fraud, or ``k < 1``.
    """
    result = at_card_capacity(day, customer, is_fraud, score, k)
    return result.found / (k * len(np.unique(day)))


@dataclass(frozen=True, slots=True)
class AtCapacity:
    """What investigators find who look at so many cards or payments a day."""

    reviewed: int
    """How many they looked at, over all days."""
    found: int
    """How many of those were compromised, or frauds."""
    wanted: int
    """How many there were to find."""

    @property
    def precision(self) -> float:
        """Share of the reviewed that was worth it, 0 to 1."""
        return self.found / self.reviewed

    @property
    def recall(self) -> float:
        """Share of the wanted that was found, 0 to 1."""
        return self.found / self.wanted


def at_transaction_capacity(
    day: npt.NDArray[np.integer], is_fraud: Bools, score: Floats, k: int = 100
) -> AtCapacity:
    """Frauds found by who looks at the ``k`` payments of each day that score highest.

    Among equal scores the earlier row comes first. On days with fewer payments all are looked at.

    Args:
        day: shape ``(N,)``.
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.
        k: payments a day, at least 1.

    Raises:
        ValueError: shapes differ, a score is not finite, there is no fraud, or ``k < 1``.
    """
    check_scores(is_fraud, score)
    if len(day) != len(score):
        raise ValueError(f"one entry a payment, got {len(day)} days, {len(score)} scores")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k=}")
    order = np.lexsort((-score, day))
    ordered_day = day[order]
    first_of_day = np.searchsorted(ordered_day, ordered_day)
    reviewed = order[np.arange(len(order)) - first_of_day < k]
    return AtCapacity(
        reviewed=len(reviewed), found=int(is_fraud[reviewed].sum()), wanted=int(is_fraud.sum())
    )


def at_card_capacity(
    day: npt.NDArray[np.integer],
    customer: npt.NDArray[np.generic],
    is_fraud: Bools,
    score: Floats,
    k: int = 100,
) -> AtCapacity:
    """Compromised cards found by who looks at ``k`` cards a day, as :func:`card_precision_at_k`.

    Wanted are the cards with a fraud on any day, each once; a card that is looked at on two days
    counts twice as reviewed.

    Args:
        day: shape ``(N,)``.
        customer: id or number of each payment's customer, shape ``(N,)``.
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.
        k: cards a day, at least 1.

    Raises:
        ValueError: shapes differ, a score is not finite, there is no fraud, or ``k < 1``.
    """
    by_day = cards_by_day(day, customer, is_fraud, score, k)
    return AtCapacity(
        reviewed=int(by_day.reviewed.sum()),
        found=int(by_day.found.sum()),
        wanted=len(np.unique(customer[is_fraud])),
    )


@dataclass(frozen=True, slots=True)
class CardsByDay:
    """What investigators look at and find on each of D days, in order: shape ``(D,)`` each."""

    day: Ints
    reviewed: Ints
    """Cards."""
    found: Ints
    """Cards among them with a fraud on that day, and not found before."""


def cards_by_day(
    day: npt.NDArray[np.integer],
    customer: npt.NDArray[np.generic],
    is_fraud: Bools,
    score: Floats,
    k: int = 100,
) -> CardsByDay:
    """Cards looked at and found compromised each day, as :func:`card_precision_at_k` says.

    Args and raises: as :func:`at_card_capacity`.
    """
    check_scores(is_fraud, score)
    if not len(day) == len(customer) == len(score):
        raise ValueError(
            f"one entry a payment, got {len(day)} days, {len(customer)} customers,"
            f" {len(score)} scores"
        )
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k=}")
    days, day_code = np.unique(day, return_inverse=True)
    cards, card_code = np.unique(customer, return_inverse=True)
    pairs, pair = np.unique(day_code * len(cards) + card_code, return_inverse=True)
    card_score = np.full(len(pairs), -np.inf)
    np.maximum.at(card_score, pair, score)
    compromised = np.zeros(len(pairs), dtype=bool)
    np.logical_or.at(compromised, pair, is_fraud)

    pair_day, pair_card = np.divmod(pairs, len(cards))
    bounds = np.searchsorted(pair_day, np.arange(len(days) + 1))
    known = np.zeros(len(cards), dtype=bool)
    reviewed = np.zeros(len(days), dtype=np.int64)
    found = np.zeros(len(days), dtype=np.int64)
    for number, (start, stop) in enumerate(pairwise(bounds)):
        here = start + np.flatnonzero(~known[pair_card[start:stop]])
        top = here[np.argsort(-card_score[here], kind="stable")[:k]]
        detected = pair_card[top[compromised[top]]]
        known[detected] = True
        reviewed[number], found[number] = len(top), len(detected)
    return CardsByDay(day=days, reviewed=reviewed, found=found)
