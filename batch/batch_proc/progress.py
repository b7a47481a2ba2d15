"""What a command is doing, while it does it: bars on a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Stages:
    """The stages of a run: shows the current one, and remembers how long each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._prefix = ""
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    @contextmanager
    def stage(self, name: str, description: str) -> Iterator[Stage]:
        """Times what happens inside as the stage `name`; `description` is for people."""
        name = self._prefix + name
        task = self._bars.add_task(description, total=None, note="")
        if not self._bars.live.is_started:
            self._bars.start()
        started = time.monotonic()
        stage = Stage(self._bars, task)
        try:
            yield stage
        except BaseException:
            self.stop()
            raise
        self.seconds[name] = time.monotonic() - started
        self._bars.update(task, total=1, completed=1)
        self._bars.stop_task(task)
        if self._bars.disable:
            note = f": {stage.note}" if stage.note else ""
            self._console.print(f"{description}{note} ({self.seconds[name]:.1f} s)", soft_wrap=True)

    def called(self, prefix: str) -> Stages:
        """The same, for stages of a part of the run, whose names begin with `prefix`."""
        part = copy(self)
        part._prefix = self._prefix + prefix
        return part

    def stop(self) -> None:
        """Leaves the terminal as it was, the bars' last state above."""
        self._bars.stop()


class Stage:
    """The stage that is running."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task
        self.note = ""

    def say(self, note: str) -> None:
        """Shows a few words beside the stage: its result so far."""
        self.note = note
        self._bars.update(self._task, note=note)

    def advance(self, done: int, total: int) -> None:
        """Shows that `done` of `total` steps are done."""
        self._bars.update(self._task, completed=done, total=total)
