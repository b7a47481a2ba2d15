"""Markup that cannot be broken by what stands in it: whatever is not markup is escaped."""

from __future__ import annotations

import html
import re

# HTML cannot hold these, nor UTF-8 the last ones, not even escaped.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_VOID = ("br", "meta")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escape(text: str) -> Html:
    """``text`` as markup that shows it; markup stays as it is."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", text)))


def join(*parts: str) -> Html:
    """One after the other."""
    return Html("".join(escape(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | float) -> Html:
    """The element ``name``.

    Args:
        name: of the element; written by us, as are the attributes' names.
        children: what stands in it.
        attributes: ``class_`` is ``class``, any other ``_`` a ``-``.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(*children)}</{name}>")


def _value(value: str | float) -> str:
    """Coordinates to a tenth of a pixel; -0.0 and 0.0 alike."""
    return value if isinstance(value, str) else f"{round(value, 1) + 0.0:g}"
