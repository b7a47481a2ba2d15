"""Sections of a report about payments whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

from batch_proc.report import charts
from batch_proc.report.charts import STYLES
from batch_proc.report.markup import Html, tag
from batch_proc.report.measured import (
    CalibrationPoint,
    Outcome,
    Quality,
    Scored,
    cards_of_days,
    date_of,
)
from batch_proc.report.page import (
    Headline,
    Section,
    beside,
    details,
    figure,
    section,
    side_by_side,
    table,
    tiles,
)
from batch_proc.report.words import counted, money, percent
from fraud_ml.bootstrap import Interval

NO_FRAUD = "No fraud is known among these payments, so nothing can be said here."


def headline_section(
    quality: Quality | None, *, k: int | None, n_days: int, verdict: str = ""
) -> Section:
    """The three numbers that say how good the model is, with their intervals.

    Args:
        quality: what was measured; None without a fraud.
        k: cards a day; None where the customers are not known, and no card can be told.
        n_days: that were measured.
        verdict: what follows from it; empty where nothing does.
    """
    said = [verdict] if verdict else []
    if quality is None:
        return section("In short", [*said, NO_FRAUD])
    numbers = [
        Headline(
            name="Average precision",
            value=f"{quality.ap.estimate:.3f}",
            interval=_between(quality.ap),
            meaning="the precision, mean over all frauds from the highest score down; 1 is perfect",
        )
    ]
    if k is not None:
        cards = quality.card_precision
        numbers.append(
            Headline(
                name=f"Card precision at {k} a day",
                value=f"{cards.estimate:.3f}",
                interval=_between(cards),
                meaning=f"of {k} cards looked at a day, {round(k * cards.estimate, 1):g} were"
                f" defrauded that day, mean of {counted(n_days, 'day')}",
            )
        )
    if quality.auc is not None:
        numbers.append(
            Headline(
                name="Area under the ROC curve",
                value=f"{quality.auc.estimate:.3f}",
                interval=_between(quality.auc),
                meaning="how often a fraud scores above a payment that is none; a coin reaches 0.5",
            )
        )
    how = "95% intervals, from drawing customers again, each with all payments."
    return section("In short", said, tiles(numbers), tag("p", how, class_="note"))


def _between(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"


def precision_recall_section(
    quality: Quality | None,
    *,
    n_payments: int,
    n_frauds: int,
    marks: Sequence[tuple[float, float, str]] = (),
) -> Section:
    """The precision-recall curve; ``marks`` are recall, precision and what reaches them."""
    title = "Precision and recall"
    if quality is None:
        return section(title, [NO_FRAUD])
    words = [
        f"{counted(n_frauds, 'fraud')} among {counted(n_payments, 'payment')}: whoever flags"
        f" by chance is right in {percent(n_frauds / n_payments)} of cases."
    ]
    words += [
        f"With the thresholds of the model, “{name}” finds {percent(recall)} of the frauds, and"
        f" {percent(precision)} of what it flags is fraud."
        for recall, precision, name in marks
    ]
    picture = charts.precision_recall(quality.curve, n_frauds / n_payments, marks)
    caption = "The band holds 95% of the curves of redrawn customers."
    curve = quality.curve
    rows = [
        [percent(curve.recall[i]), percent(curve.precision[i]), percent(low), percent(high)]
        for i, (low, high) in enumerate(zip(curve.low, curve.high, strict=True))
        if (i + 1) % 10 == 0
    ]
    numbers = table(["recall", "precision", "from", "to"], rows, caption="The curve", text=0)
    return beside(title, words, figure(picture, caption, details("The numbers", numbers)))


def card_precision_section(
    scored: Scored, *, k: int, reference: tuple[float, str] | None = None
) -> Section:
    """Cards found of those looked at, by day; ``reference`` is a share to compare with."""
    title = "Cards found, day by day"
    found = cards_of_days(scored, k=k)
    if found is None:
        return section(title, [NO_FRAUD])
    days = [date_of(day) for day in found.day.tolist()]
    mean = float(found.found.mean())
    words = [
        f"Of {k} cards looked at a day, {mean:.3g} were defrauded that day, mean of"
        f" {counted(len(days), 'day')}: the fewest {found.found.min()}, the most"
        f" {found.found.max()}. A card that is found is not looked at again."
    ]
    if (found.reviewed < k).any():
        few = int(found.reviewed.min())
        words.append(f"On some days there were fewer cards than that, at least {few:,}.")
    levels = [(k * reference[0], reference[1])] if reference else []
    picture = charts.day_bars(
        days,
        found.found.tolist(),
        f"defrauded cards found, of {k} looked at",
        title=f"Defrauded cards among {k} looked at, by day",
        levels=levels,
    )
    rows = [
        [str(day), f"{looked:,}", f"{there:,}", percent(there / k)]
        for day, looked, there in zip(
            days, found.reviewed.tolist(), found.found.tolist(), strict=True
        )
    ]
    numbers = table(
        ["day (UTC)", "cards looked at", "defrauded", f"of {k}"], rows, caption="By day"
    )
    return beside(title, words, figure(picture, "", details("The numbers", numbers)))


def calibration_section(points: Sequence[CalibrationPoint]) -> Section:
    """Whether a score of 10 % means fraud in 1 of 10 payments."""
    title = "Calibration"
    if not points:
        return section(title, ["No payments, so nothing can be said here."])
    expected = sum(point.score * point.payments for point in points)
    frauds = sum(point.frauds for point in points)
    words = [
        "A score is a chance of fraud. Where dots lie on the broken line it came true; above it"
        " there were more frauds than the scores said, below it fewer.",
        f"Over all payments the scores add up to {expected:,.0f}"
        f" expected {'fraud' if round(expected) == 1 else 'frauds'}; there were {frauds:,}.",
    ]
    picture = charts.calibration([(it.score, it.share, it.low, it.high) for it in points])
    caption = "Upright lines: 95% intervals of the share. A hollow dot: no fraud among them."
    rows = [
        [
            percent(it.score),
            percent(it.share),
            f"{percent(it.low)} to {percent(it.high)}",
            f"{it.frauds:,}",
            f"{it.payments:,}",
        ]
        for it in points
    ]
    head = ["mean score", "share of frauds", "95% interval", "frauds", "payments"]
    numbers = table(head, rows, caption="Payments that score alike", text=0)
    return section(title, words, side_by_side(figure(picture, caption), numbers))


def confusion_section(
    outcomes: Sequence[Outcome],
    *,
    stopped: Sequence[tuple[float, float]] = (),
    looked_at: float | None = None,
) -> Section:
    """What the policy did to frauds and to others, with amounts.

    Args:
        outcomes: one a decision, the harshest first.
        stopped: payments looked at a day and the share of the frauds' amount among them.
        looked_at: payments a day that the policy does not approve; None where unknown.
    """
    title = "What the thresholds do"
    frauds = sum(it.frauds for it in outcomes)
    lost = sum(it.fraud_amount for it in outcomes)
    others = sum(it.others for it in outcomes)
    flagged = [it for it in outcomes if it.decision != "approve"]
    caught, saved = sum(it.frauds for it in flagged), sum(it.fraud_amount for it in flagged)
    words = []
    if frauds:
        words.append(
            f"{counted(frauds, 'fraud')} of {money(lost)} in all: {caught:,} of them, of"
            f" {money(saved)}, would be declined or reviewed"
            + (f" ({percent(saved / lost)} of the amount)." if lost else ".")
        )
    else:
        words.append("No fraud is known among these payments.")
    disturbed = sum(it.others for it in flagged)
    if others:
        words.append(
            f"Of {counted(others, 'honest payment')}, {disturbed:,} would be declined or reviewed"
            f" too ({percent(disturbed / others)})."
        )
    pictures = [_shares(outcomes, frauds=frauds, lost=lost, others=others)]
    if stopped:
        pictures.append(_stopped(stopped, looked_at, saved / lost if lost else 0.0))
    rows = [
        [
            it.decision,
            f"{it.frauds:,}",
            money(it.fraud_amount),
            f"{it.others:,}",
            money(it.other_amount),
        ]
        for it in outcomes
    ]
    head = ["decision", "frauds", "their amount", "honest payments", "their amount"]
    numbers = table(head, rows, caption="Decisions and the truth; amounts in your currency")
    return section(title, words, side_by_side(*pictures), numbers)


def _shares(outcomes: Sequence[Outcome], *, frauds: int, lost: float, others: int) -> Html:
    wholes: dict[str, dict[str, float]] = {}
    if frauds:
        wholes[counted(frauds, "fraud")] = {it.decision: it.frauds for it in outcomes}
    if lost:
        amounts = {it.decision: it.fraud_amount for it in outcomes}
        wholes[f"their amount, {money(lost)}"] = amounts
    if others:
        wholes[counted(others, "honest payment")] = {it.decision: it.others for it in outcomes}
    styles = {it.decision: STYLES[it.decision] for it in outcomes}
    picture = charts.stacked(wholes, styles, title="Decisions on frauds and on honest payments")
    return figure(picture, "What happens to frauds, to their amount and to honest payments.")


def _stopped(stopped: Sequence[tuple[float, float]], looked_at: float | None, share: float) -> Html:
    marks = [(looked_at, share, "the thresholds")] if looked_at else []
    picture = charts.saved(stopped, marks)
    return figure(picture, "How much of the frauds' amount a given amount of work would stop.")
