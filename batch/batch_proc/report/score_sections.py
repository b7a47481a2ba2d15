"""Sections of a report about payments whose truth need not be known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from batch_proc.report import charts
from batch_proc.report.charts import STYLES, Series
from batch_proc.report.explained import Example
from batch_proc.report.markup import Html, join, tag
from batch_proc.report.measured import SCORE_EDGES
from batch_proc.report.page import (
    Section,
    badge,
    beside,
    details,
    figure,
    section,
    side_by_side,
    table,
)
from batch_proc.report.svg import Bar, bars
from batch_proc.report.words import counted, money, percent, rounded
from fraud_ml.distribution import Distribution, psi
from fraud_ml.policy import CapacityPolicy, DecisionPolicy

PSI_WATCH, PSI_ALERT = 0.1, 0.25  # as is usual: Siddiqi, Credit Risk Scorecards, 2006
_MOST = 12  # bars in a picture
_CLOSE_UPS = 4  # of what drifted most


def score_section(
    counts: Mapping[str, Sequence[int]], thresholds: Sequence[tuple[float, str]] = ()
) -> Section:
    """How scores are distributed.

    Args:
        counts: by the name of what is counted, at most two: what
            :func:`~batch_proc.report.measured.count_scores` returned.
        thresholds: scores, and what begins above them.
    """
    title = "Distribution of the scores"
    total = sum(sum(column) for column in counts.values())
    if not total:
        return section(title, ["No payments, so nothing can be said here."])
    words = [_where(name, column) for name, column in counts.items() if sum(column)]
    words += [f"Above a score of {percent(value)}: {name}." for value, name in thresholds]
    picture = charts.histogram(SCORE_EDGES, counts, thresholds)
    rows = [
        [f"{percent(SCORE_EDGES[i])} to {percent(SCORE_EDGES[i + 1])}"]
        + [f"{column[i]:,}" for column in counts.values()]
        for i in range(len(SCORE_EDGES) - 1)
        if any(column[i] for column in counts.values())
    ]
    numbers = table(["score", *counts], rows, caption="Payments by score")
    caption = "Both scales are logarithmic: each step to the right is as many times the odds."
    return beside(title, words, figure(picture, caption, details("The numbers", numbers)))


def _where(name: str, column: Sequence[int]) -> str:
    """Where the middle of the scores lies, to the bin."""
    middle = int(np.searchsorted(np.cumsum(column), sum(column) / 2))
    low, high = percent(SCORE_EDGES[middle]), percent(SCORE_EDGES[middle + 1])
    if sum(1 for number in column if number) == 1:
        return f"All {sum(column):,} {name} score {low} to {high}."
    return f"{sum(column):,} {name}: half of them score below about {low} to {high}."


def thresholds_of(policy: DecisionPolicy | None) -> list[tuple[float, str]]:
    """The scores above which a decision changes, whatever the amount; none of other policies."""
    if not isinstance(policy, CapacityPolicy):
        return []
    thresholds = [(policy.review_above, "reviewed"), (policy.decline_above, "declined")]
    return [(score, name) for score, name in thresholds if 0 < score < 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drifted:
    """Something's distribution now, against training's."""

    name: str
    distribution: Distribution
    """Of training."""
    counts: tuple[int, ...]
    """Now, in its bins."""

    @property
    def index(self) -> float | None:
        """The population stability index; None where nothing was counted."""
        return psi(self.distribution, self.counts) if sum(self.counts) else None


def drift_section(
    drifted: Sequence[Drifted],
    *,
    title: str = "Drift",
    before: str = "training",
    now: str,
    watch: float = PSI_WATCH,
    alert: float = PSI_ALERT,
) -> Section:
    """How far distributions are from those of ``before``, the farthest first.

    Args:
        drifted: features, or the score.
        title: of the section.
        before: what it is compared with, in words.
        now: the payments that are compared, in words.
        watch: the index from which on it is to be watched.
        alert: and from which on it is an alert.
    """
    known = [(index, it) for it in drifted if (index := it.index) is not None]
    if not known:
        return section(title, [f"No {now}, so nothing can be said here."])
    known.sort(key=lambda pair: (-pair[0], pair[1].name))
    states = [state_of(index, watch=watch, alert=alert) for index, _ in known]
    words = [
        f"The population stability index compares {now} with {before}: 0 is the same, less than"
        f" {watch:g} is usual, {alert:g} and more is another population.",
        f"Of {len(known)}: {states.count('alert')} at {alert:g} or above,"
        f" {states.count('watch')} between; the largest is {known[0][0]:.3f}, {known[0][1].name}.",
    ]
    shown = _all_drifts(known, states, now=now, watch=watch, alert=alert)
    close = [_close_up(index, it, before, now) for index, it in known[:_CLOSE_UPS]]
    return section(title, words, side_by_side(shown, join(*close)))


def _all_drifts(
    known: Sequence[tuple[float, Drifted]],
    states: Sequence[str],
    *,
    now: str,
    watch: float,
    alert: float,
) -> Html:
    """The figure of the indices, the largest first, and the table of all of them."""
    rows = [
        Bar(
            name=it.name,
            value=index,
            text=f"{index:.3f}",
            style={"fine": "grey", "watch": "blue", "alert": "orange"}[state],
        )
        for (index, it), state in zip(known[:_MOST], states, strict=False)
    ]
    marks = [(watch, f"{watch:g}"), (alert, f"{alert:g}")]
    said = ", ".join(f"{row.name} {row.text}" for row in rows)
    most = min(max(known[0][0], 1.2 * alert), 2 * alert)  # one that is far off hides no other
    picture = bars(rows, "Population stability index", f"{said}.", high=most, marks=marks)
    caption = f"Population stability index of {now}."
    if known[0][0] > most:
        caption += f" Bars end at {most:g}."
    if len(known) > _MOST:
        caption += f" The {_MOST} farthest of {len(known)}."
    judged = zip(known, states, strict=True)
    numbers = table(
        ["what", "state", "index"],
        [[it.name, badge(state), f"{index:.4f}"] for (index, it), state in judged],
        caption="All of them",
        text=2,
    )
    return figure(picture, caption, details("All", numbers))


def state_of(index: float, *, watch: float, alert: float) -> str:
    """``fine``, ``watch`` or ``alert``."""
    return "alert" if index >= alert else "watch" if index >= watch else "fine"


def _close_up(index: float, it: Drifted, before: str, now: str) -> Html:
    total = sum(it.counts)
    names = range_names(it.distribution)
    kept = [i for i, share in enumerate(it.distribution.shares) if share or it.counts[i]]
    picture = charts.shares(
        [it.distribution.shares[i] for i in kept],
        [it.counts[i] / total for i in kept],
        [names[i] for i in kept],
        title=f"{it.name}: {before} and {now}",
    )
    caption = f"{it.name}, {index:.3f}: bars are {now}, lines are {before}, by ranges of values."
    return figure(picture, caption)


def range_names(distribution: Distribution) -> list[str]:
    """What each bin of ``distribution`` holds."""
    edges = [
        f"{edge:,.0f}" if abs(edge) >= 10_000 else f"{edge:.4g}" for edge in distribution.edges
    ]
    if not edges:
        return ["any", "missing"]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"≤ {edges[0]}", *between, f"> {edges[-1]}", "missing"]


def reasons_section(
    contributions: Sequence[tuple[str, float]], examples: Sequence[Example] = ()
) -> Section:
    """Which features move the scores, and examples in words.

    Args:
        contributions: features and their mean absolute contributions to the log-odds, the largest
            first.
        examples: payments with their reasons.
    """
    title = "What moves the scores"
    if not contributions:
        return section(title, ["No payments, so nothing can be said here."])
    top = contributions[:_MOST]
    words = [
        f"{top[0][0]} moves scores most: by {top[0][1]:.2g} in log-odds, up or down, on the mean"
        f" of payments. (Adding 0.69 to the log-odds doubles the odds of fraud.)"
    ]
    rows = [Bar(name=name, value=value, text=f"{value:.3f}") for name, value in top]
    said = ", ".join(f"{row.name} {row.text}" for row in rows)
    picture = bars(rows, "Mean absolute contributions", f"{said}.")
    caption = "Mean absolute contribution to the log-odds of fraud."
    if len(contributions) > _MOST:
        caption += f" The {_MOST} largest of {len(contributions)}."
    numbers = table(
        ["feature", "contribution"],
        [[name, f"{value:.4f}"] for name, value in contributions],
        caption="Mean absolute contributions, in log-odds",
    )
    shown = figure(picture, caption, details("All", numbers))
    if not examples:
        return beside(title, words, shown)
    told = tag("ul", *(_told(example) for example in examples), class_="examples")
    column = tag("div", tag("h3", "For example"), told)
    return section(title, words, side_by_side(shown, column))


def _told(example: Example) -> Html:
    head = tag("strong", f"{example.title}: transaction {example.transaction}")
    numbers = f", amount {money(example.amount)}, score {percent(example.score)}"
    reasons = [tag("li", reason) for reason in example.reasons]
    if not reasons:
        reasons = [tag("li", "nothing raised its score above a usual payment's")]
    return tag("li", head, numbers, tag("ul", *reasons))


@dataclass(frozen=True, kw_only=True, slots=True)
class DayOfDecisions:
    """What was decided on one day: payments and their amount, by decision."""

    day: dt.date
    payments: Mapping[str, int]
    """By ``approve``, ``review``, ``decline``; what is absent is none."""
    amounts: Mapping[str, float]
    """In currency; the same."""


def decisions_section(days: Sequence[DayOfDecisions]) -> Section:
    """How many payments were reviewed and declined each day."""
    title = "Decisions, day by day"
    total = sum(sum(it.payments.values()) for it in days)
    if not total:
        return section(title, ["No payments, so nothing can be said here."])
    words = []
    for name, verb in (("decline", "declined"), ("review", "reviewed"), ("approve", "approved")):
        number = sum(it.payments.get(name, 0) for it in days)
        words.append(
            f"{number:,} of {total:,} payments {verb} ({percent(number / total)}):"
            f" {rounded(number / len(days))} a day."
        )
    others = ("review", "decline")
    series = [
        Series(
            name=name,
            values=[float(it.payments.get(name, 0)) for it in days],
            style=STYLES[name],
        )
        for name in others
    ]
    picture = charts.daily(
        [it.day for it in days], series, "payments a day", title="Reviewed and declined, by day"
    )
    rows = [[str(it.day), *(f"{it.payments.get(name, 0):,}" for name in STYLES)] for it in days]
    numbers = table(["day (UTC)", *STYLES], rows, caption="Payments by day and decision")
    return beside(title, words, figure(picture, "", details("The numbers", numbers)))


def amounts_section(days: Sequence[DayOfDecisions]) -> Section:
    """How much money each decision was about."""
    title = "Amounts"
    sums = {name: sum(it.amounts.get(name, 0.0) for it in days) for name in STYLES}
    counts = {name: sum(it.payments.get(name, 0) for it in days) for name in STYLES}
    total = sum(sums.values())
    if not total:
        return section(title, ["No amount, so nothing can be said here."])
    words = [
        f"{money(sums['decline'])} of {money(total)} declined ({percent(sums['decline'] / total)}),"
        f" {money(sums['review'])} reviewed ({percent(sums['review'] / total)})."
    ]
    wholes = {
        f"amount, {money(total)} in your currency": sums,
        counted(sum(counts.values()), "payment"): {k: float(v) for k, v in counts.items()},
    }
    styles = {name: STYLES[name] for name in ("decline", "review", "approve")}
    picture = charts.stacked(wholes, styles, title="Amounts and payments by decision")
    rows = [
        [name, f"{n:,}", money(sums[name]), money(sums[name] / n) if n else ""]
        for name, n in ((name, counts[name]) for name in styles)
    ]
    head = ["decision", "payments", "amount", "mean amount"]
    numbers = table(head, rows, caption="In your currency")
    return section(title, words, side_by_side(figure(picture, ""), numbers))
