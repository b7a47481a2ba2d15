"""A bar on the terminal for people who wait for a fetch or a load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from data_connector import observe


@contextmanager
def progress_bar(
    title: str = "rows", *, total: int | None = None, console: Console | None = None
) -> Iterator[observe.Progress]:
    """What to give to `fetch` or `load` as `progress=`: a bar until the block ends.

    Args:
        title: stands before the bar.
        total: rows that are expected; without it the bar only shows that it moves.
        console: where to draw, standard error by default; nothing moves if it is no terminal.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f} rows"),
        TextColumn("{task.fields[size]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, size=decimal(0))

        def advance(rows: int, size: int) -> None:
            bar.update(task, completed=rows, size=decimal(size))

        yield advance
