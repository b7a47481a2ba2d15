"""What an experiment works with: its parameters, and where it says what it measured."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that an experiment measured."""

    name: str
    value: float
    unit: str = ""
    """Empty: none, as of a probability."""


@dataclass(frozen=True, slots=True)
class DayMetric:
    """A number that an experiment measured of one day."""

    name: str
    day: dt.date
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """One run of an experiment: what `run(study)` in its `experiment.py` takes.

    The same parameters and seed must give the same numbers.
    """

    name: str
    """Of the experiment: its folder's."""
    parameters: Mapping[str, Any]
    """Those of `config.toml`, by name."""
    seed: int
    small: bool
    """Whether it is a test, on the small parameters."""
    folder: Path
    """Where files are written that are kept with the run."""
    metrics: dict[str, Metric] = field(default_factory=dict)
    """By name."""
    by_day: dict[tuple[str, dt.date], DayMetric] = field(default_factory=dict)
    """By name and day."""

    def log(self, name: str, value: float, *, unit: str = "", day: dt.date | None = None) -> None:
        """Keeps a number; with ``day``, one of a day.

        Raises:
            ValueError: the number is not finite, or was already told.
        """
        value = float(value)
        if not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value}")
        if name in self.metrics if day is None else (name, day) in self.by_day:
            raise ValueError(
                f"{name} was logged before{f' for {day}' if day else ''}: name it anew"
            )
        if day is None:
            self.metrics[name] = Metric(name, value, unit)
        else:
            self.by_day[name, day] = DayMetric(name, day, value)

    def file(self, name: str) -> Path:
        """Where to write a file of this name, which is kept with the run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name
