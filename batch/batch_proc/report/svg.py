"""Pictures as SVG inside of a page, whose style gives them their colours, in light and dark.

They are 360 units wide: as wide as a phone, on which their text is as large as the page's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from batch_proc.report.markup import Html, join, tag

WIDTH = 360.0
CHARACTER = 6.6
"""Width of one, about."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """What one direction of a picture means."""

    label: str
    """With the unit."""
    low: float
    high: float
    """Above ``low``."""
    ticks: Sequence[tuple[float, str]]
    kind: Literal["linear", "log", "logit"] = "linear"

    def place(self, value: float) -> float:
        """Where ``value`` lies from ``low``, 0, to ``high``, 1; what lies outside, at the end."""
        value = min(max(value, self.low), self.high)
        low, here, high = (self._straight(it) for it in (self.low, value, self.high))
        return (here - low) / (high - low)

    def _straight(self, value: float) -> float:
        if self.kind == "log":
            return math.log(value)
        return math.log(value / (1 - value)) if self.kind == "logit" else value


def linear_axis(
    label: str, high: float, *, low: float = 0.0, form: Callable[[float], str] | None = None
) -> Axis:
    """An axis from ``low`` to a round number that is at least ``high``."""
    step = _round_step((high - low) / 4 if high > low else 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    values = [number * step for number in range(first, last + 1)]
    texts = [(value, form(value) if form else f"{value:,.10g}") for value in values]
    return Axis(label=label, low=first * step, high=last * step, ticks=texts)


def count_axis(label: str, high: float) -> Axis:
    """An axis of decades from 1 to at least ``high``, with some room below for none at all."""
    last = max(math.ceil(math.log10(high) - 1e-9) if high > 0 else 0, 1)
    step = 1 + last // 6
    ticks = [(10.0**power, f"{10**power:,}") for power in range(0, last + 1, step)]
    return Axis(label=label, low=0.5, high=10.0**last, ticks=ticks, kind="log")


def score_axis(label: str, low: float, high: float) -> Axis:
    """An axis of probabilities that shows the rare ones and the certain ones: of log-odds."""
    wanted = [(1e-5, "0.001%"), (1e-4, "0.01%"), (1e-3, "0.1%"), (0.01, "1%"), (0.1, "10%")]
    wanted += [(0.5, "50%"), (0.9, "90%"), (0.99, "99%"), (0.999, "99.9%"), (0.9999, "99.99%")]
    ticks = [(value, text) for value, text in wanted if low <= value <= high]
    return Axis(label=label, low=low, high=high, ticks=ticks, kind="logit")


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


class Plot:
    """A picture in the making: marks by their values, on two axes."""

    def __init__(
        self, x: Axis, y: Axis, *, height: float = 230.0, left: float = 44.0, right: float = 14.0
    ) -> None:
        self._x, self._y = x, y
        self._left, self._right = left, WIDTH - right
        self._top, self._bottom = 26.0, height - 38.0
        self._height = height
        self._marks = [self._frame()]

    def x(self, value: float) -> float:
        """From the left."""
        return self._left + self._x.place(value) * (self._right - self._left)

    def y(self, value: float) -> float:
        """From the top."""
        return self._bottom - self._y.place(value) * (self._bottom - self._top)

    def line(self, points: Sequence[Point], style: str) -> None:
        """Straight lines from point to point."""
        self._marks.append(tag("path", d=self._path(points), class_=f"line {style}"))

    def area(self, low: Sequence[Point], high: Sequence[Point], style: str) -> None:
        """What lies between two lines."""
        outline = f"{self._path([*high, *reversed(low)])}Z"
        self._marks.append(tag("path", d=outline, class_=f"area {style}"))

    def steps(self, edges: Sequence[float], values: Sequence[float], style: str) -> None:
        """A histogram's outline over its area; ``values`` between the ``edges``."""
        floor = self._y.low
        points = [(edges[0], floor)]
        for start, stop, value in zip(edges, edges[1:], values, strict=False):
            points += [(start, value), (stop, value)]
        points.append((edges[-1], floor))
        self.area([points[0], points[-1]], points[1:-1], style)
        self.line(points, style)

    def bar(self, start: float, stop: float, value: float, style: str) -> None:
        """A bar from the floor up."""
        left, right, top = self.x(start), self.x(stop), self.y(value)
        self._marks.append(
            tag("rect", x=left, y=top, width=right - left, height=self._bottom - top, class_=style)
        )

    def dot(self, at: Point, style: str, *, size: float = 3.5) -> None:
        """A round mark."""
        self._marks.append(
            tag("circle", cx=self.x(at[0]), cy=self.y(at[1]), r=size, class_=f"dot {style}")
        )

    def level(self, value: float, text: str, style: str = "rule") -> None:
        """A line across at a value, with its name at the right, above it."""
        self.line([(self._x.low, value), (self._x.high, value)], style)
        place = self.y(value)
        below = place - self._top < 12
        down = 12 if below else -4
        self._marks.append(_text(self._right, place + down, text, "end", f"{style} halo"))

    def threshold(self, value: float, text: str, *, row: int = 0) -> None:
        """A line up at a value, with its name at its top; ``row`` counts from the top down."""
        self.line([(value, self._y.low), (value, self._y.high)], "rule")
        right = self.x(value) + len(text) * CHARACTER < self._right
        self._marks.append(
            _text(
                self.x(value) + (4 if right else -4),
                self._top + 10 + 13 * row,
                text,
                "start" if right else "end",
                "rule",
            )
        )

    def text(
        self, at: Point, text: str, style: str = "", *, anchor: str = "start", shift: Point = (0, 0)
    ) -> None:
        """A direct label; ``shift`` is in units, right and down."""
        place = self.x(at[0]) + shift[0], self.y(at[1]) + shift[1]
        self._marks.append(_text(*place, text, anchor, style))

    def svg(self, title: str, alternative: str) -> Html:
        """The picture; ``alternative`` says in words what it shows."""
        return picture(self._marks, self._height, title, alternative)

    def _path(self, points: Sequence[Point]) -> str:
        places = [f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points]
        return f"M{'L'.join(places)}"

    def _frame(self) -> Html:
        marks = []
        for value, text in self._y.ticks:
            y = self.y(value)
            marks.append(
                tag("path", d=f"M{self._left:.1f} {y:.1f}H{self._right:.1f}", class_="grid")
            )
            marks.append(_text(self._left - 6, y + 4, text, "end", "tick"))
        free = 0.0  # from where on there is room for another label
        for value, text in self._x.ticks:
            half = len(text) * CHARACTER / 2
            x = min(self.x(value), WIDTH - half)
            if x - half >= free:
                marks.append(_text(x, self._bottom + 15, text, "middle", "tick"))
                free = x + half + CHARACTER
        marks.append(_text(2, 12, self._y.label, "start", "axis"))
        marks.append(_text(self._right, self._bottom + 31, self._x.label, "end", "axis"))
        return join(*marks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One of :func:`bars`."""

    name: str
    value: float
    text: str
    """The value, with its unit."""
    style: str = "blue"


def bars(
    rows: Sequence[Bar],
    title: str,
    alternative: str,
    *,
    high: float | None = None,
    marks: Sequence[tuple[float, str]] = (),
) -> Html:
    """Bars to the right, the name of each above it, so that it may be long.

    Args:
        rows: from the top down.
        title: of the picture.
        alternative: what it shows, in words.
        high: the value of the longest bar there can be; by default, of those there are.
        marks: values to draw a line at, and their names.
    """
    top, each = (18.0 if marks else 4.0), 33.0
    high = high or max((row.value for row in rows), default=0.0) or 1.0
    room = WIDTH - 8 - CHARACTER * max((len(row.text) for row in rows), default=0)
    height = top + each * len(rows)
    drawn = []
    for value, text in marks:
        if value <= high:
            x = room * value / high
            drawn.append(tag("path", d=f"M{x:.1f} {top - 4:.1f}V{height:.1f}", class_="line rule"))
            end = x > WIDTH - len(text) * CHARACTER
            drawn.append(_text(x, 11, text, "end" if end else "middle", "rule"))
    for number, row in enumerate(rows):
        y = top + each * number
        length = max(room * min(row.value / high, 1.0), 0.0)
        drawn.append(_text(0, y + 12, row.name, "start", "halo"))
        drawn.append(tag("rect", x=0.0, y=y + 16, width=length, height=9.0, class_=row.style))
        drawn.append(_text(length + 5, y + 24.5, row.text, "start", "halo"))
    return picture(drawn, height, title, alternative)


def picture(marks: Sequence[Html], height: float, title: str, alternative: str) -> Html:
    """An SVG element with its title and, for who cannot see it, what it shows."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", alternative),
        *marks,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
    )


def _text(x: float, y: float, text: str, anchor: str, style: str) -> Html:
    given = {"class_": style} if style else {}
    return tag("text", text, x=x, y=y, text_anchor=anchor, **given)
