"""Numbers of a run: as a table for people, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_connector.atomic import written_whole


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a run."""

    name: str
    value: float
    unit: str
    meaning: str = ""

    def __str__(self) -> str:
        """The value as a person reads it."""
        return f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:.3f}"


def print_table(title: str, measures: Sequence[Measure], console: Console) -> None:
    """A table with one line a measure."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("what it is")
    for measure in measures:
        table.add_row(measure.name, str(measure), measure.unit, measure.meaning)
    console.print(table)


def to_json(measures: Sequence[Measure]) -> str:
    """A JSON list of `{"name", "value", "unit"}`."""
    rows = [{"name": it.name, "value": it.value, "unit": it.unit} for it in measures]
    return json.dumps(rows, indent=2)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all.

    Raises:
        ConnectorError: it cannot be written; what was there before is unchanged.
    """
    if path.exists() and not path.is_file():  # a pipe or a device takes what it gets
        path.write_text(text, encoding="utf-8")
        return
    with written_whole(path, replace=True) as file:
        file.write(text.encode())
