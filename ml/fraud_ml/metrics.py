"""How well scores separate fraud from the rest, for the threshold-free and for the analyst."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


def roc_auc(is_fraud: Bools, score: Floats) -> float:
    """The area under the ROC curve, 0 to 1: how often a fraud scores above a payment that is none.

    Ties count half (Mann and Whitney, 1947).

    Args:
        is_fraud: shape ``(N,)``.
        score: shape ``(N,)``, any scale.

    Raises:
        ValueError: shapes differ, a score is not finite, or one of the two classes is absent.
    """
    _check(is_fraud, score)
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
    _check(is_fraud, score)
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
    true_positives = np.cumsum(is_fraud[order])[last_of_tie]
    flagged = np.flatnonzero(last_of_tie) + 1
    precision = true_positives / flagged
    newly_found = np.diff(true_positives, prepend=0)
    return float((newly_found * precision).sum() / is_fraud.sum())


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
    _check(is_fraud, score)
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
    found = np.zeros(len(cards), dtype=bool)
    n_found = 0
    for start, stop in pairwise(bounds):
        here = start + np.flatnonzero(~found[pair_card[start:stop]])
        top = here[np.argsort(-card_score[here], kind="stable")[:k]]
        detected = pair_card[top[compromised[top]]]
        found[detected] = True
        n_found += len(detected)
    return n_found / (k * len(days))


def _check(is_fraud: Bools, score: Floats) -> None:
    if is_fraud.ndim != 1 or is_fraud.shape != score.shape:
        raise ValueError(f"one label a score, got shapes {is_fraud.shape} and {score.shape}")
    if is_fraud.dtype != np.bool_:
        raise ValueError(f"is_fraud must be boolean, got {is_fraud.dtype}")
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite, got NaN or infinity")
    if not is_fraud.any():
        raise ValueError("there is no fraud to find, got is_fraud all False")
