"""Reads an HTML page as a strict reader would: what is not balanced or not safe is an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "meta"}
FORBIDDEN = {"script", "iframe", "object", "embed", "link", "img", "base", "form", "image", "use"}


@dataclass
class Page:
    """What a page holds."""

    titles: list[str] = field(default_factory=list)
    """Of sections."""
    pictures: list[tuple[str, str]] = field(default_factory=list)
    """Title and description of each."""
    text: str = ""
    """All text that is shown, without markup."""
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in FORBIDDEN, tag
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice: {attrs}"
        for name, value in given.items():
            assert value is not None, name
            assert not name.startswith("on"), name
            assert name not in ("src", "srcset", "style", "xlink:href", "action"), name
            assert "javascript:" not in value
        if "href" in given:
            self.page.links.append(str(given["href"]))
        if "id" in given:
            self.page.ids.append(str(given["id"]))
        if tag == "svg":
            assert given["role"] == "img"
            self.page.pictures.append(("", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> while open are {self.open}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        if where == "style":
            assert "url(" not in data and "@import" not in data and "<" not in data
            return
        self.page.text += f"{data} "
        if where == "h2":
            self.page.titles.append(data)
        if "svg" in self.open and where in ("title", "desc"):
            title, description = self.page.pictures[-1]
            changed = (data, description) if where == "title" else (title, description + data)
            self.page.pictures[-1] = changed


def read_page(text: str) -> Page:
    """The page, having checked that it is whole, safe, and complete without anything else."""
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "http:" not in text and "https:" not in text
    assert "nan" not in text.lower().replace("finance", "").split(), "a number that is none"
    text.encode("utf-8")
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    page = reader.page
    assert len(set(page.ids)) == len(page.ids)
    assert {f"#{name}" for name in page.ids} == set(page.links)
    for title, description in page.pictures:
        assert title.strip(), page.pictures
        assert len(description.strip()) > 1, title
    return page
