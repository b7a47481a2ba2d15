"""What is measured of one version at work: together, and day by day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch_proc.monitor_days import Window
from batch_proc.monitor_features import Payments
from batch_proc.monitor_scores import truth_of
from batch_proc.report.measured import Quality, Scored, date_of, quality
from batch_proc.report.score_sections import DayOfDecisions, Drifted
from fraud_ml.artifact import Artifact
from fraud_ml.calibration import expected_calibration_error
from fraud_ml.distribution import Distribution, Reference
from fraud_ml.metrics import average_precision, cards_by_day
from fraud_ml.policy import Decision

_DECISIONS = {kind.name.lower(): int(kind) for kind in Decision}
_EPOCH = dt.date(1970, 1, 1)
Measured = tuple[dt.date, str, float]
"""A day, what was measured on it, and the value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtWork:
    """One version's scores of all watched days: N payments, shape ``(N,)`` each."""

    version: int
    scored: Scored
    """Customers are the payments themselves, and amounts 0, where nobody told them."""
    is_labelled: npt.NDArray[np.bool_]
    decision: npt.NDArray[np.int8]
    """-1 where none is recorded."""
    knows_customers: bool
    knows_amounts: bool
    features: npt.NDArray[np.float32] | None
    """Of the payments that were found among the transactions, shape ``(M, F)``."""
    row: npt.NDArray[np.int64]
    """The numbers of those M payments."""

    def between(self, start: dt.date, end: dt.date) -> npt.NDArray[np.bool_]:
        """Which payments are of the days from ``start`` on and before ``end``."""
        first, last = (start - _EPOCH).days, (end - _EPOCH).days
        return (self.scored.day >= first) & (self.scored.day < last)


def at_work(
    version: int, rows: pa.Table, labels: pa.Table, window: Window, payments: Payments | None
) -> AtWork:
    """What one version scored, with its truth and features.

    Args:
        version: its number.
        rows: of :func:`~batch_proc.monitor_scores.fetch_scores`, of this version alone.
        labels: of :func:`~batch_proc.monitor_scores.fetch_labels`.
        window: the watched days.
        payments: of the features; None where they are not to be had.
    """
    truth = truth_of(rows, labels, as_of=window.as_of, label_delay=window.label_delay)
    row = np.empty(0, dtype=np.int64)
    features = None
    found = np.full(rows.num_rows, -1, dtype=np.int64)
    if payments is not None:
        found = payments.rows_of(rows["transaction_id"])
        row = np.flatnonzero(found >= 0)
        features = payments.features[found[row]]
    customer, knows_customers = _column(rows, payments, found, "customer_id")
    amount, knows_amounts = _column(rows, payments, found, "amount")
    scored = Scored(
        day=rows["timestamp"].cast(pa.date32()).cast(pa.int32()).to_numpy(),
        customer=_numbered(customer) if knows_customers else np.arange(rows.num_rows),
        is_fraud=truth.is_fraud,
        score=rows["score"].to_numpy(),
        amount=np.array(amount, dtype=float) if knows_amounts else np.zeros(rows.num_rows),
    )
    return AtWork(
        version=version,
        scored=scored,
        is_labelled=truth.is_labelled,
        decision=_decisions(rows),
        knows_customers=knows_customers,
        knows_amounts=knows_amounts,
        features=features,
        row=row,
    )


def _column(
    rows: pa.Table, payments: Payments | None, found: npt.NDArray[np.int64], name: str
) -> tuple[list[object], bool]:
    """A column of the scores or, where it is not there, of the payments; whether it is whole."""
    if name in rows.column_names and not rows[name].null_count:
        return rows[name].to_pylist(), True
    if payments is None or (found < 0).any():
        return [], False
    return payments.transactions[name].take(found).to_pylist(), True


def _numbered(values: list[object]) -> npt.NDArray[np.int32]:
    """A number for each different value."""
    numbers: npt.NDArray[np.int32] = pa.array(values).dictionary_encode().indices.to_numpy()
    return numbers


def _decisions(rows: pa.Table) -> npt.NDArray[np.int8]:
    if "decision" not in rows.column_names:
        return np.full(rows.num_rows, -1, dtype=np.int8)
    given = rows["decision"].to_pylist()
    return np.array([_DECISIONS.get(each, -1) for each in given], dtype=np.int8)


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionMeasures:
    """Everything of one version that is shown and judged."""

    version: int
    closed: Scored
    """The labelled payments of the closed days."""
    decision: npt.NDArray[np.int8]
    """Of those."""
    knows_customers: bool
    knows_amounts: bool
    labelled: float | None
    """Share of the closed days' payments; None where there are none."""
    n_closed: int
    """Payments of the closed days, labelled or not."""
    n_open: int
    """Payments whose labels are not due yet."""
    open_days: int
    """Days with such payments."""
    quality: Quality | None
    calibration_error: float | None
    newest_scores: npt.NDArray[np.floating]
    """Of the latest days."""
    score_drift: Drifted | None
    feature_drift: tuple[Drifted, ...]
    """Empty where no features are known."""
    decisions: tuple[DayOfDecisions, ...]
    days: tuple[Measured, ...]


def measure(
    work: AtWork, artifact: Artifact, window: Window, *, cards_a_day: int
) -> VersionMeasures:
    """What one version does, on the closed days with their labels and on the latest ones."""
    of_closed = work.between(window.start, window.closed_end)
    newest = work.between(window.latest, window.end)
    is_open = work.between(window.closed_end, window.end)
    known = of_closed & work.is_labelled
    closed, n_closed = work.scored.take(known), int(of_closed.sum())
    reference = artifact.reference
    return VersionMeasures(
        version=work.version,
        closed=closed,
        decision=work.decision[known],
        knows_customers=work.knows_customers,
        knows_amounts=work.knows_amounts,
        labelled=len(closed) / n_closed if n_closed else None,
        n_closed=n_closed,
        n_open=int(is_open.sum()),
        open_days=len(np.unique(work.scored.day[is_open])),
        quality=quality(closed, k=cards_a_day),
        calibration_error=_if_fraud(closed, expected_calibration_error),
        newest_scores=work.scored.score[newest],
        score_drift=None if reference is None else _score_drift(work, reference, newest),
        feature_drift=() if reference is None else _feature_drift(work, reference, newest),
        decisions=tuple(_decisions_by_day(work)),
        days=tuple(_by_day(work, reference, window, cards_a_day)),
    )


def _if_fraud(scored: Scored, metric: Callable[..., float]) -> float | None:
    return metric(scored.is_fraud, scored.score) if scored.is_fraud.any() else None


def _score_drift(work: AtWork, reference: Reference, rows: npt.NDArray[np.bool_]) -> Drifted:
    return _drifted("score", reference.score, work.scored.score[rows].astype(np.float32))


def _feature_drift(
    work: AtWork, reference: Reference, rows: npt.NDArray[np.bool_]
) -> tuple[Drifted, ...]:
    if work.features is None:
        return ()
    features = work.features[rows[work.row]]
    return tuple(
        _drifted(name, distribution, column)
        for (name, distribution), column in zip(reference.features.items(), features.T, strict=True)
    )


def _drifted(name: str, distribution: Distribution, values: npt.NDArray[np.float32]) -> Drifted:
    counts = tuple(distribution.count(values).tolist())
    return Drifted(name=name, distribution=distribution, counts=counts)


def _by_day(
    work: AtWork, reference: Reference | None, window: Window, cards_a_day: int
) -> Iterator[Measured]:
    """The measures of each day by itself: those of quality on closed days alone."""
    for number in np.unique(work.scored.day).tolist():
        day = date_of(number)
        rows = work.scored.day == number
        yield day, "payments", float(rows.sum())
        yield day, "mean_score", float(work.scored.score[rows].mean())
        for name, code in _DECISIONS.items():
            if (work.decision[rows] >= 0).any():
                yield day, name, float((work.decision[rows] == code).sum())
        if reference is not None:
            drifted = (_score_drift(work, reference, rows), *_feature_drift(work, reference, rows))
            for each in drifted:
                if each.index is not None:
                    yield day, f"psi:{each.name}", each.index
        if day < window.closed_end:
            yield day, "labelled", float(work.is_labelled[rows].mean())
            known = work.scored.take(rows & work.is_labelled)
            for name, value in _quality_of_day(work, known, cards_a_day):
                yield day, name, value


def _quality_of_day(work: AtWork, known: Scored, cards_a_day: int) -> Iterator[tuple[str, float]]:
    yield "frauds", float(known.is_fraud.sum())
    if not known.is_fraud.any():
        return
    yield "ap", average_precision(known.is_fraud, known.score)
    yield "calibration_error", expected_calibration_error(known.is_fraud, known.score)
    if work.knows_customers:
        cards = cards_by_day(known.day, known.customer, known.is_fraud, known.score, cards_a_day)
        yield f"cp{cards_a_day}", float(cards.found.sum()) / cards_a_day


def _decisions_by_day(work: AtWork) -> Iterator[DayOfDecisions]:
    for number in np.unique(work.scored.day[work.decision >= 0]).tolist():
        rows = {
            name: (work.scored.day == number) & (work.decision == code)
            for name, code in _DECISIONS.items()
        }
        yield DayOfDecisions(
            day=date_of(number),
            payments={name: int(mask.sum()) for name, mask in rows.items()},
            amounts={name: float(work.scored.amount[mask].sum()) for name, mask in rows.items()},
        )
