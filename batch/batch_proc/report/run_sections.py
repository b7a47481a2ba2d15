"""Sections of a report about the run itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batch_proc.measures import Measure
from batch_proc.report.page import Section, beside, figure, section, table
from batch_proc.report.svg import Bar, bars


def measures_section(measures: Sequence[Measure], title: str = "All numbers") -> Section:
    """Every number of the run, as the command prints them."""
    rows = [[it.name, it.meaning, str(it), it.unit] for it in measures]
    head = ["measure", "what it is", "value", "unit"]
    return section(title, [], table(head, rows, caption="As the command prints them", text=2))


def lineage_section(lineage: Mapping[str, str]) -> Section:
    """Where it comes from: data, code, versions."""
    words = [] if lineage else ["Nothing was recorded."]
    rows = [[name.replace("_", " "), value] for name, value in lineage.items()]
    tables = [table(["what", "which"], rows, caption="Data, code, versions", text=2, style="long")]
    return section("Where it comes from", words, *(tables if lineage else []))


def seconds_section(seconds: Mapping[str, float]) -> Section:
    """How long each stage took, in their order."""
    total = sum(seconds.values())
    rows = [Bar(name=name, value=taken, text=f"{taken:.1f} s") for name, taken in seconds.items()]
    if not rows:
        return section("Time it took", ["Nothing was timed."])
    longest = max(rows, key=lambda row: row.value)
    words = [f"{total:.1f} seconds in all, {longest.value:.1f} of them to {longest.name}."]
    said = ", ".join(f"{row.name} {row.text}" for row in rows)
    picture = bars(rows, "Seconds a stage", f"{said}.")
    return beside("Time it took", words, figure(picture, "Seconds a stage."))
