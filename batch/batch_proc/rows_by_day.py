"""Rows in order of time, whatever order they come in: kept in files by day, sorted a day at a time.

Memory holds one day, however long the history is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

_DAY = 86_400 * 1_000_000  # microseconds
_SUFFIX = ".arrow"


class DayFiles:
    """Rows of one kind in a folder, a file for each day (UTC)."""

    def __init__(self, folder: Path, kind: str, *, time: str) -> None:
        """Those that are there, if any.

        Args:
            folder: that is there.
            kind: how their files' names begin.
            time: the column of times (microseconds, UTC), without nulls; rows of the same time
                are ordered by ``transaction_id``.
        """
        self._folder = folder
        self._prefix = f"{kind}-"
        self._time = time

    def add(self, rows: pa.Table) -> None:
        """Keeps ``rows``, which are ordered by time.

        Raises:
            OSError: no room, or no right.
        """
        days = rows[self._time].cast(pa.int64()).to_numpy() // _DAY
        edges = np.flatnonzero(np.diff(days)) + 1
        for start, stop in zip([0, *edges], [*edges, len(days)], strict=True):
            if start == stop:
                continue
            with (
                self._path(int(days[start])).open("ab") as file,
                pa.ipc.new_stream(file, rows.schema) as stream,
            ):
                stream.write_table(rows.slice(start, stop - start))

    def days(self) -> list[int]:
        """Days since 1970-01-01 of which there are rows, ascending."""
        names = self._folder.glob(f"{self._prefix}*{_SUFFIX}")
        return sorted(int(path.stem.removeprefix(self._prefix)) for path in names)

    def read(self, day: int) -> pa.Table:
        """The rows of a day, by time and then by ``transaction_id``."""
        parts = []
        with pa.OSFile(str(self._path(day))) as file:
            size = file.size()
            while file.tell() < size:
                parts.append(pa.ipc.open_stream(file).read_all())
        order = [(self._time, "ascending"), ("transaction_id", "ascending")]
        return pa.concat_tables(parts).sort_by(order)

    def _path(self, day: int) -> Path:
        return self._folder / f"{self._prefix}{day}{_SUFFIX}"
