"""Transactions and labels in the order in which a running service would have learnt of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch_proc.rows_by_day import DayFiles

NEVER = 2**62
"""Later than any time."""

AT_ONCE = 4_096
"""Most rows that are counted in one go."""


@dataclass(slots=True)
class Cursor:
    """How far rows of days have been read."""

    day: int = 0
    """How many days are done."""
    row: int = 0
    """How many rows of the next."""


class Stream:
    """The rows of days, one after the other, from a cursor on."""

    def __init__(self, files: DayFiles, time: str, cursor: Cursor) -> None:
        """Stands before the first row that is not read yet.

        Args:
            files: with the rows.
            time: their column of times.
            cursor: moves along with the stream.
        """
        self._files = files
        self._days = files.days()
        self._time = time
        self.cursor = cursor
        self._rows: pa.Table | None = None
        self._times: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def next_time(self) -> int:
        """Of the next row, in microseconds since 1970; :data:`NEVER` after the last."""
        return int(self._times[self.cursor.row]) if self._load() else NEVER

    def peek(self, before: int, *, at_most: int = AT_ONCE) -> pa.Table | None:
        """The next rows of one day that are from before a time; None where there is none."""
        if not self._load() or self._rows is None:
            return None
        start = self.cursor.row
        stop = min(int(np.searchsorted(self._times, before)), start + at_most)
        return self._rows.slice(start, stop - start) if stop > start else None

    def advance(self, n_rows: int) -> None:
        """So many of the rows that :meth:`peek` gave are done."""
        self.cursor.row += n_rows

    def take(self, before: int) -> Iterator[pa.Table]:
        """All next rows that are from before a time; they are done."""
        while (some := self.peek(before)) is not None:
            self.advance(some.num_rows)
            yield some

    def _load(self) -> bool:
        """Whether there is a next row, which is in memory then."""
        while self._rows is None or self.cursor.row >= self._rows.num_rows:
            if self._rows is not None:
                self.cursor.day, self.cursor.row, self._rows = self.cursor.day + 1, 0, None
            if self.cursor.day >= len(self._days):
                return False
            self._rows = self._files.read(self._days[self.cursor.day])
            self._times = times_of(self._rows[self._time])
        return True


def times_of(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Times in microseconds since 1970-01-01 UTC."""
    times: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    return times


def uncut(times: npt.NDArray[np.int64], ids: list[Any], labels: pa.Table | None) -> int:
    """How many transactions can be counted in one go before one is labelled that is among them.

    The labels of all others may be given before, since each counts from its own time on; and so may
    those of the last one's own time, if they are given once more.

    Args:
        times: of the transactions, ascending.
        ids: theirs.
        labels: that are known by the last time; none from before the first.
    """
    if labels is None:
        return len(ids)
    place = {name: number for number, name in enumerate(ids)}
    cut = len(ids)
    for name, at in zip(
        labels["transaction_id"].to_pylist(), times_of(labels["labelled_at"]).tolist(), strict=True
    ):
        if name in place and place[name] < cut:
            cut = min(cut, max(int(np.searchsorted(times, at)), place[name] + 1))
    return cut
