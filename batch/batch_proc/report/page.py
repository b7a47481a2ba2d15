"""A report as one HTML page: no script, and nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_proc.report.markup import Html, join, tag

_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
# Even markup that got in in spite of all could then load and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a page, with its own title."""

    title: str
    body: Html


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """One of the few numbers that a reader looks for first."""

    name: str
    value: str
    meaning: str
    interval: str = ""
    """Between which values it lies; empty where nobody knows."""
    state: str = ""
    """``fine``, ``watch`` or ``alert``; empty where nobody judges."""


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole page; the same arguments give the same text.

    Args:
        title: of the page, and of the window that shows it.
        lead: what the report is about, in a sentence or two.
        sections: in their order; the page begins with links to them.
    """
    names = _names([section.title for section in sections])
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        tag("style", Html(_STYLE)),
    )
    links = [
        tag("li", tag("a", section.title, href=f"#{name}"))
        for section, name in zip(sections, names, strict=True)
    ]
    parts = [
        tag("section", tag("h2", section.title), section.body, id=name)
        for section, name in zip(sections, names, strict=True)
    ]
    header = tag("header", tag("h1", title), tag("p", lead, class_="lead"))
    contents = tag("nav", tag("ul", *links), aria_label="Contents")
    body = tag("body", header, contents, tag("main", *parts))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def section(title: str, words: Sequence[str], *parts: Html) -> Section:
    """A section: ``words`` are its sentences, a paragraph each, before pictures and tables."""
    said = [tag("p", paragraph) for paragraph in words]
    return Section(title=title, body=join(tag("div", *said, class_="words"), *parts))


def beside(title: str, words: Sequence[str], *parts: Html) -> Section:
    """A section whose sentences stand beside its one picture, where there is room."""
    said = tag("div", *(tag("p", paragraph) for paragraph in words), class_="words")
    return Section(title=title, body=side_by_side(said, *parts))


def side_by_side(*parts: Html) -> Html:
    """Pictures and tables beside each other where there is room, else one below the other."""
    return tag("div", *parts, class_="row")


def figure(picture: Html, caption: str, *more: Html) -> Html:
    """A picture, what it shows in words below it, and what else belongs to it."""
    return tag("figure", picture, tag("figcaption", caption), *more)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    text: int = 1,
    style: str = "short",
) -> Html:
    """A table that scrolls by itself where it is too wide for the screen.

    Args:
        head: of the columns.
        rows: a text a column each.
        caption: what the table is of.
        text: how many columns, from the first on, are no numbers.
        style: ``long`` where texts may be broken anywhere, such as checksums.
    """

    def cells(row: Sequence[str], name: str) -> Html:
        return join(
            *(
                tag(name, cell, **({} if number < text else {"class_": "number"}))
                for number, cell in enumerate(row)
            )
        )

    top = join(
        *(
            tag("th", name, scope="col", **({} if number < text else {"class_": "number"}))
            for number, name in enumerate(head)
        )
    )
    body = tag("tbody", *(tag("tr", cells(row, "td")) for row in rows))
    above = tag("caption", caption), tag("thead", tag("tr", top))
    whole = tag("table", *above, body, class_=style)
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def details(summary: str, *parts: Html) -> Html:
    """What only some readers want to see: they open it; it is not printed unless open."""
    return tag("details", tag("summary", summary), *parts)


def tiles(headlines: Sequence[Headline]) -> Html:
    """The first numbers, large."""
    return tag("dl", *(_tile(it) for it in headlines), class_="tiles")


def badge(state: str, text: str = "") -> Html:
    """``fine``, ``watch``, ``alert`` or ``unknown`` as a sign that needs no colour to be read."""
    sign = {"fine": "●", "watch": "▲", "alert": "■"}.get(state, "○")
    return tag("span", tag("span", sign, aria_hidden="true"), f" {text or state}", class_=state)


def _tile(headline: Headline) -> Html:
    value = [tag("span", headline.value, class_="value")]
    if headline.interval:
        value.append(tag("span", headline.interval, class_="interval"))
    if headline.state:
        value.append(badge(headline.state))
    meaning = tag("dd", headline.meaning, class_="meaning")
    return tag("div", tag("dt", headline.name), tag("dd", *value), meaning)


def _names(titles: Sequence[str]) -> list[str]:
    """A different name for each title, that a link can go to."""
    names: list[str] = []
    for number, title in enumerate(titles, start=1):
        name = re.sub("[^a-z0-9]+", "-", title.lower()).strip("-") or "part"
        names.append(name if name not in names else f"{name}-{number}")
    return names
