"""LCOV's format, as far as lines go: which lines of a file ran, and how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Lines = dict[int, int]
"""How often each line ran."""


def read(text: str) -> dict[str, Lines]:
    """The lines of each file of a report.

    Raises:
        ValueError: a line of the report belongs to no file.
    """
    files: dict[str, Lines] = {}
    lines: Lines | None = None
    for entry in text.split("\n"):
        kind, _, value = entry.partition(":")
        if kind == "SF":
            lines = files.setdefault(value, {})
        elif kind == "DA":
            if lines is None:
                raise ValueError(f"no report in LCOV's format: {entry!r} belongs to no file")
            number, count, *_ = value.split(",")
            lines[int(number)] = lines.get(int(number), 0) + int(count)
        elif entry == "end_of_record":
            lines = None
    return files


def merge(reports: Iterable[Mapping[str, Lines]]) -> dict[str, Lines]:
    """All files of the reports; how often a line ran adds up."""
    merged: dict[str, Lines] = {}
    for report in reports:
        for path, lines in report.items():
            into = merged.setdefault(path, {})
            for number, count in lines.items():
                into[number] = into.get(number, 0) + count
    return merged


def write(files: Mapping[str, Lines]) -> str:
    """The report of some files, in the order of their paths."""
    entries = []
    for path, lines in sorted(files.items()):
        entries += ["TN:", f"SF:{path}"]
        entries += [f"DA:{number},{count}" for number, count in sorted(lines.items())]
        ran = sum(count > 0 for count in lines.values())
        entries += [f"LH:{ran}", f"LF:{len(lines)}", "end_of_record"]
    return "\n".join([*entries, ""])
