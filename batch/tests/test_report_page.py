"""A page is whole, safe and complete by itself, whatever stands in it."""

import pytest
from html_page import read_page

from batch_proc.report.markup import Html, escape, join, tag
from batch_proc.report.page import Headline, badge, details, figure, page, section, table, tiles
from batch_proc.report.svg import Bar, bars
from batch_proc.report.words import counted, money, percent, rounded

HOSTILE = (
    "<script>alert(1)</script>",
    "</title></style></section>",
    '" onload="alert(1)',
    "' onload='alert(1)",
    "&lt;b&gt; & <!-- --> ]]>",
    "nul \0, escape \x1b, surrogate \ud800",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_markup_is_shown_as_it_is(name: str) -> None:
    picture = bars([Bar(name=name, value=1.0, text=name)], name, name)
    text = page(
        name,
        name,
        [
            section(
                name,
                [name],
                tiles([Headline(name=name, value=name, meaning=name, interval=name)]),
                figure(picture, name, details(name)),
                table([name, name], [[name, name]], caption=name),
                badge("alert", name),
            )
        ],
    )
    shown = name.translate({0: "\ufffd", 0x1B: "\ufffd", 0xD800: "\ufffd"})
    read = read_page(text)
    assert read.titles == [shown]
    assert read.pictures == [(shown, shown)]
    assert read.text.count(shown) >= 12


def test_markup_stays_markup_and_text_becomes_it() -> None:
    assert join(tag("b", "a < b"), "c < d") == "<b>a &lt; b</b>c &lt; d"
    assert escape(Html("<b>")) == "<b>"
    assert tag("p", class_="a b", aria_label='"') == '<p class="a b" aria-label="&quot;"></p>'
    assert tag("meta", name="x") == '<meta name="x">'
    assert tag("circle", r=-0.04, cx=12.34567) == '<circle r="0" cx="12.3"></circle>'


def test_a_page_begins_with_links_to_its_sections_and_same_titles_do_not_clash() -> None:
    read = read_page(page("t", "l", [section("One & two", []), section("One; two", [])]))
    assert read.titles == ["One & two", "One; two"]
    assert read.links == ["#one-two", "#one-two-2"]


def test_a_page_is_for_phones_both_themes_and_paper() -> None:
    text = page("t", "l", [])
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in text
    for rule in ("prefers-color-scheme: dark", "@media print", "overflow-x: auto"):
        assert rule in text
    assert "default-src &#x27;none&#x27;" in text


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0%"), (0.00662, "0.66%"), (0.0712, "7.1%"), (0.34, "34%"), (1.0, "100%"),
        (0.99999, "99.99%"), (0.9951, "99.51%"), (float("nan"), "unknown"), (1e-6, "0.0001%"),
    ],
)  # fmt: skip
def test_a_share_has_as_many_digits_as_say_something(share: float, shown: str) -> None:
    assert percent(share) == shown


def test_numbers_are_as_a_person_writes_them() -> None:
    assert (counted(1, "day"), counted(1200, "day")) == ("1 day", "1,200 days")
    assert (money(12.345), money(92311.2)) == ("12.35", "92,311")


@pytest.mark.parametrize(
    ("number", "said"),
    [(0.2546, "0.255"), (62.84, "62.8"), (99.96, "100"), (2691.6, "2,692"), (1e6, "1,000,000")],
)
def test_rounded_numbers_are_written_out(number: float, said: str) -> None:
    assert rounded(number) == said
