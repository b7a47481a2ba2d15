"""Which days are watched: whose labels have had time to arrive, and which are the latest."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Whole days in UTC, as they are at one instant."""

    as_of: dt.datetime
    """In UTC."""
    n_days: int
    """That are judged together."""
    label_delay: dt.timedelta

    @property
    def end(self) -> dt.date:
        """The day that is not over yet."""
        return self.as_of.date()

    @property
    def latest(self) -> dt.date:
        """The first of the latest days, on which drift is measured."""
        return self.end - dt.timedelta(days=self.n_days)

    @property
    def closed_end(self) -> dt.date:
        """The first day whose labels may still arrive."""
        return (self.as_of - self.label_delay).date()

    @property
    def start(self) -> dt.date:
        """The first of the last closed days, on which quality is measured."""
        return self.closed_end - dt.timedelta(days=self.n_days)

    @property
    def closed(self) -> str:
        """The closed days, in words."""
        return f"{self.start} to {self.closed_end - dt.timedelta(days=1)}"

    @property
    def newest(self) -> str:
        """The latest days, in words."""
        return f"{self.latest} to {self.end - dt.timedelta(days=1)}"
