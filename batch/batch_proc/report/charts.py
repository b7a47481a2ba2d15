"""The pictures of the reports: each takes plain numbers, and says in words what it shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from batch_proc.report.markup import Html, tag
from batch_proc.report.svg import (
    CHARACTER,
    WIDTH,
    Axis,
    Plot,
    count_axis,
    linear_axis,
    picture,
    score_axis,
)
from batch_proc.report.words import percent

_MOST_LABELS = 10  # of days below a picture, with room between them
STYLES = {"approve": "grey", "review": "blue", "decline": "orange"}
"""A decision has one colour in all pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Precision at each of some recalls, ascending, and between which values it lies."""

    recall: Sequence[float]
    precision: Sequence[float]
    low: Sequence[float] = ()
    """Of the interval; empty where there is none, as is the next."""
    high: Sequence[float] = ()


def precision_recall(
    curve: Curve, by_chance: float, marks: Sequence[tuple[float, float, str]] = ()
) -> Html:
    """The precision-recall curve in its interval; ``marks`` are recall, precision and name."""
    plot = Plot(
        linear_axis("recall: share of the frauds that is found", 1, form=_percents),
        linear_axis("precision: share of frauds among the flagged", 1, form=_percents),
        height=270,
    )
    if curve.low:
        low = list(zip(curve.recall, curve.low, strict=True))
        plot.area(low, list(zip(curve.recall, curve.high, strict=True)), "blue")
    plot.line(list(zip(curve.recall, curve.precision, strict=True)), "blue")
    plot.level(by_chance, f"by chance: {percent(by_chance)}")
    for recall, precision, name in marks:
        plot.dot((recall, precision), "orange", size=4.5)
        left, below = recall > 0.6, precision > 0.85  # away from the frame
        shift = (-8 if left else 8, 16 if below else -6)
        anchor = "end" if left else "start"
        plot.text((recall, precision), name, "halo", anchor=anchor, shift=shift)
    said = [f"{percent(precision)} at {name}" for _, precision, name in marks]
    said += [
        f"{percent(curve.precision[_nearest(curve.recall, wanted)])} at {wanted:.0%} recall"
        for wanted in (0.25, 0.5, 0.75)
    ]
    return plot.svg("Precision against recall", f"Precision is {', '.join(said)}.")


def calibration(points: Sequence[tuple[float, float, float, float]]) -> Html:
    """Share of frauds against score: ``points`` are score, share, and its interval's ends."""
    values = [value for point in points for value in point if value > 0]
    low, high = min([*values, 1e-3]) / 1.5, max([*values, 0.5])
    low, high = max(low, 1e-5), min(1 - (1 - high) / 1.5, 1 - 1e-5)
    plot = Plot(
        score_axis("mean score, as a chance of fraud", low, high),
        score_axis("share of frauds among them", low, high),
        height=270,
        left=52,
    )
    plot.line([(low, low), (high, high)], "rule")
    for score, share, least, most in points:
        plot.line([(score, least), (score, most)], "blue")
        plot.dot((score, share), "blue" if share > 0 else "blue hollow")
    middle = (low * high) ** 0.5 if high < 0.9 else 0.5
    plot.text((middle, middle), "as it should be", "rule halo", shift=(6, 14))
    said = "; ".join(f"{percent(share)} where {percent(score)}" for score, share, *_ in points)
    return plot.svg("Share of frauds against score", f"Share of frauds, by mean score: {said}.")


def histogram(
    edges: Sequence[float],
    counts: Mapping[str, Sequence[int]],
    thresholds: Sequence[tuple[float, str]] = (),
) -> Html:
    """How many payments have which score, on a log scale: ``counts`` between the ``edges``.

    Args:
        edges: ascending probabilities, neither 0 nor 1.
        counts: by the name of what is counted; at most two, of which the last is drawn on top.
        thresholds: scores, and what begins above them.
    """
    held = [any(column) for column in zip(*counts.values(), strict=True)]
    if not any(held):
        return Html("")
    first, last = held.index(True), len(held) - held[::-1].index(True)
    most = max(max(column) for column in counts.values())
    plot = Plot(
        score_axis("score, as a chance of fraud", edges[first], edges[last]),
        count_axis("payments, on a log scale", 10 * most),  # room for the thresholds' names
        left=56,
    )
    said = []
    for (name, column), style in zip(counts.items(), ("blue", "orange"), strict=False):
        plot.steps(edges[first : last + 1], column[first:last], style)
        peak = column.index(max(column))
        middle = (edges[peak] * edges[peak + 1]) ** 0.5
        drop = -6 if style == "blue" else 16
        where = (peak - first) / (last - first)
        anchor = "start" if where < 0.3 else "end" if where > 0.7 else "middle"
        plot.text((middle, column[peak]), name, f"{style} halo", anchor=anchor, shift=(0, drop))
        said.append(
            f"{sum(column):,} {name}, most of them scored"
            f" {percent(edges[peak])} to {percent(edges[peak + 1])}"
        )
    for row, (value, name) in enumerate(thresholds):
        plot.threshold(value, name, row=row)
    return plot.svg("Distribution of the scores", f"{'; '.join(said)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A number a day; None on days that have none."""

    name: str
    values: Sequence[float | None]
    style: str = "blue"


def daily(
    days: Sequence[dt.date],
    series: Sequence[Series],
    label: str,
    *,
    title: str,
    levels: Sequence[tuple[float, str]] = (),
    form: str = ",.10g",
) -> Html:
    """Lines over days, each named at its last value; ``levels`` are values to compare with."""
    known = [value for each in series for value in each.values if value is not None]
    high = max([*known, *(value for value, _ in levels)], default=1.0) or 1.0
    names = max((len(each.name) for each in series), default=0)
    plot = Plot(
        _day_axis(days),
        linear_axis(label, high, form=lambda value: format(value, form)),
        right=14 if len(series) < 2 else 14 + names * CHARACTER,
    )
    said = []
    for each in series:
        points = [(n, value) for n, value in enumerate(each.values) if value is not None]
        for run in _runs(points):
            plot.line(run, each.style)
        for point in points:
            plot.dot(point, each.style, size=3.0 if len(points) <= 31 else 1.5)
        if not points:
            continue
        if len(series) > 1:
            plot.text(points[-1], each.name, f"{each.style} halo", shift=(7, 4))
        values = [value for _, value in points]
        said.append(
            f"{each.name}: {format(min(values), form)} to {format(max(values), form)},"
            f" at last {format(values[-1], form)}"
        )
    for value, name in levels:
        plot.level(value, name)
    return plot.svg(title, f"{'; '.join(said) or 'nothing was measured'}.")


def day_bars(
    days: Sequence[dt.date],
    values: Sequence[float],
    label: str,
    *,
    title: str,
    levels: Sequence[tuple[float, str]] = (),
) -> Html:
    """A bar a day, its number above it."""
    high = max([*values, *(value for value, _ in levels)], default=1.0) or 1.0
    plot = Plot(_day_axis(days, room=0.5), linear_axis(label, high))
    for number, value in enumerate(values):
        plot.bar(number - 0.36, number + 0.36, value, "blue")
        if len(values) <= 14:
            at = (number, value)
            plot.text(at, f"{value:g}", "halo", anchor="middle", shift=(0, -4))
    for value, name in levels:
        plot.level(value, name)
    said = ", ".join(f"{day}: {value:g}" for day, value in zip(days, values, strict=True))
    return plot.svg(title, f"{said}.")


def stacked(
    rows: Mapping[str, Mapping[str, float]], styles: Mapping[str, str], *, title: str
) -> Html:
    """Bars of one length, whose parts are shares of a whole.

    Args:
        rows: by the name of the whole, the parts' sizes by their names.
        styles: of the parts.
        title: of the picture.
    """
    marks, x = [], 0.0
    for part, style in styles.items():
        marks.append(tag("rect", x=x, y=2.0, width=9.0, height=9.0, class_=style))
        marks.append(tag("text", part, x=x + 13, y=11.0))
        x += 30 + len(part) * CHARACTER
    said = []
    for number, (name, parts) in enumerate(rows.items()):
        y, total = 24.0 + 42 * number, sum(parts.values())
        marks.append(tag("text", name, x=0.0, y=y + 10))
        x = 0.0
        for part, style in styles.items():
            share = parts[part] / total if total else 0.0
            width = share * WIDTH
            marks.append(
                tag("rect", x=x, y=y + 15, width=width, height=17.0, class_=f"part {style}")
            )
            if width > 36:
                marks.append(tag("text", percent(share), x=x + 5, y=y + 28, class_=f"on {style}"))
            said.append(f"{percent(share)} of {name} {part}")
            x += width
    return picture(marks, 24.0 + 42 * len(rows), title, f"{', '.join(said)}.")


def shares(
    before: Sequence[float], now: Sequence[float], names: Sequence[str], *, title: str
) -> Html:
    """Shares of rows by ranges of a number, those of training as an outline over those now."""
    high = max([*before, *now])
    ends = (0, len(names) - 1) if len(names) > 1 else (0,)
    x = Axis(label="", low=-0.5, high=len(names) - 0.5, ticks=[])
    plot = Plot(x, linear_axis("share of payments", high, form=_percents), height=150)
    for number, share in enumerate(now):
        plot.bar(number - 0.42, number + 0.42, share, "blue")
    for number, share in enumerate(before):
        plot.line([(number - 0.5, share), (number + 0.5, share)], "orange")
    for number, anchor in zip(ends, ("start", "end"), strict=False):
        at = (-0.5 if anchor == "start" else x.high, 0)
        plot.text(at, names[number], "tick", anchor=anchor, shift=(0, 15))
    said = ", ".join(
        f"{name}: {percent(share)} before, {percent(there)} now"
        for name, share, there in zip(names, before, now, strict=True)
    )
    return plot.svg(title, f"{said}.")


def saved(
    stopped: Sequence[tuple[float, float]], marks: Sequence[tuple[float, float, str]]
) -> Html:
    """Share of the frauds' amount that is stopped against payments looked at a day.

    Args:
        stopped: payments a day and share, ascending.
        marks: payments a day, share, and what that is.
    """
    most = max([payments for payments, _ in stopped], default=1.0)
    plot = Plot(
        count_axis("payments looked at a day, on a log scale", most),
        linear_axis("share of the frauds' amount that is stopped", 1, form=_percents),
    )
    plot.line(stopped, "blue")
    for payments, share, name in marks:
        plot.dot((payments, share), "orange", size=4.5)
        plot.text((payments, share), name, "halo", anchor="end", shift=(-8, -5))
    said = ", ".join(f"{percent(share)} at {name}" for _, share, name in marks)
    return plot.svg("Amount stopped against payments looked at", f"{said or 'no policy'}.")


def _day_axis(days: Sequence[dt.date], *, room: float = 0.25) -> Axis:
    """An axis on which the first day is 0."""
    step = max(1, -(-len(days) // _MOST_LABELS), 2 if len(days) > 7 else 1)
    ticks = [(float(number), f"{day:%d}") for number, day in enumerate(days) if number % step == 0]
    label = "day (UTC)"
    if days:
        label = f"day of {days[0]:%Y-%m} (UTC)"
        if days[0].replace(day=1) != days[-1].replace(day=1):
            ticks = [(at, f"{days[int(at)]:%m-%d}") for at, _ in ticks]
            ticks = ticks[:: 2 if len(ticks) > 5 else 1]
            label = f"day, {days[0]} to {days[-1]} (UTC)"
    return Axis(label=label, low=-room, high=max(len(days), 1) - 1 + room, ticks=ticks)


def _runs(points: Sequence[tuple[int, float]]) -> list[list[tuple[float, float]]]:
    """The points in runs of days without a gap."""
    runs: list[list[tuple[float, float]]] = [[point] for point in points[:1]]
    for before, point in pairwise(points):
        if point[0] == before[0] + 1:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _percents(share: float) -> str:
    return f"{100 * share:.10g}%"


def _nearest(values: Sequence[float], wanted: float) -> int:
    return min(range(len(values)), key=lambda number: abs(values[number] - wanted))
