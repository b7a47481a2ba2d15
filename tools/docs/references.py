"""What a Markdown file refers to: links, headings, Bazel's labels and commands, paths of files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Not after a letter, ":" or "/": those are @pip//numpy, https://example.org and file:///tmp.
LABEL = re.compile(r"(?<![\w:/@.$}*])//(?:\.\.\.|[\w./-]*\w(?:/\.\.\.)?)?(?::(?:[\w./+-]*\w|\*))?")
BAZELW = re.compile(r"\./bazelw(?P<words>(?:[ \t]+[^\s`|#;&)]+)*)")
CONFIG = re.compile(r"--config[= ]([\w-]+)")
HTML_LINK = re.compile(r"""(?:href|src)\s*=\s*["']([^"']+)["']""")


@dataclass(frozen=True, slots=True)
class Reference:
    """One thing that a document names, and the line where it does."""

    kind: str
    """``link``, ``label``, ``command``, ``config`` or ``code``."""
    text: str
    line: int


def references(text: str) -> Iterator[Reference]:
    """What a Markdown text refers to, in no order: a label in a command is named twice."""
    for number, line in enumerate(text.split("\n"), 1):
        for match in LABEL.finditer(line):
            if match[0] != "//":  # a comment in another language
                yield Reference("label", match[0], number)
        for match in BAZELW.finditer(line):
            yield Reference("command", match["words"].strip(), number)
        for match in CONFIG.finditer(line):
            yield Reference("config", match[1], number)
    for block in _parse(text):
        line_number = (block.map or [0])[0] + 1
        for token in [block, *(block.children or [])]:
            if token.type == "code_inline":
                yield Reference("code", token.content, line_number)
            for target in _targets(token):
                yield Reference("link", target, line_number)


def anchors(text: str) -> set[str]:
    """The fragments that GitHub gives to the headings of a Markdown text."""
    found: set[str] = set()
    blocks = _parse(text)
    for opening, inline in pairwise(blocks):
        if opening.type == "heading_open":
            slug = _slug("".join(token.content for token in inline.children or []))
            repeated = next(
                name
                for number in range(len(found) + 1)
                if (name := f"{slug}-{number}" if number else slug) not in found
            )
            found.add(repeated)
    return found | set(re.findall(r"""<a\s+(?:name|id)=["']([^"']+)["']""", text))


def _parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def _targets(token: Token) -> Iterator[str]:
    for attribute in ("href", "src"):
        if value := token.attrGet(attribute):
            yield str(value)
    if token.type in ("html_inline", "html_block"):
        yield from HTML_LINK.findall(token.content)


def _slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")
