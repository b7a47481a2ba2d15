"""What is new since the last time: a cursor over a column that grows."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_connector.atomic import written_whole
from data_connector.errors import CorruptSourceError, SchemaMismatchError
from data_connector.ranges import Key, KeyRange
from data_connector.transfer import BATCH_ROWS, fetch, schema_of

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import URL


class IncrementalCursor:
    """Fetches the rows whose `column` is greater than in all rows fetched and committed before.

    What was not committed is fetched again, so that a consumer that dies loses nothing, and may
    see rows twice: at least once.

    Rows that arrive late, with a value no greater than the last one, are missed: those of equal
    times, and those of a transaction that took its number early and committed late. `lag` looks
    back for them, and then the rows within it come again each time, for the consumer to tell
    apart. Rows without a value in the column never come.

    Args:
        source: as that of `fetch`.
        table: which table; may be left out where the source holds only one.
        column: integers, decimals, texts, dates or times that new rows have greater ones of.
        state: a JSON file that holds the last value; made on the first commit.
        columns: which columns, `column` among them; all by default.
        lag: how far before the last value to start: a number, or a `timedelta` for times.
        batch_rows: most rows in a batch.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | URL,
        *,
        column: str,
        state: str | os.PathLike[str],
        table: str | None = None,
        columns: Sequence[str] | None = None,
        lag: int | dt.timedelta | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        if columns is not None and column not in columns:
            raise ValueError(f"columns must hold the cursor's own, got {columns=}, {column=}")
        if lag is not None and (lag < dt.timedelta() if isinstance(lag, dt.timedelta) else lag < 0):
            raise ValueError(f"lag must not be negative, got {lag=}")
        self._source = source
        self._table = table
        self._column = column
        self._columns = columns
        self._lag = lag
        self._batch_rows = batch_rows
        self._state = Path(state)
        self._seen: pa.Scalar | None = None
        self._is_read = False

    def fetch(self) -> pa.RecordBatchReader:
        """A reader over the new rows, in no order.

        Raises:
            CorruptSourceError: the state's file cannot be read.
            SchemaMismatchError: it is the state of another table or column, or of another type.
            ConnectorError: as `data_connector.fetch`.
        """
        from data_connector.streams import OwningReader

        self._seen, self._is_read = self._last(), False
        reader = fetch(
            self._source,
            table=self._table,
            columns=self._columns,
            key_range=KeyRange(
                column=self._column, start=self._start(), after_start=self._lag is None
            ),
            batch_rows=self._batch_rows,
        )
        return OwningReader(reader.schema, self._watched(reader), reader.close)

    def commit(self) -> None:
        """Remember the rows of the last `fetch`, so that the next one starts after them.

        Raises:
            ValueError: they were not all read.
            WriteError: the state's file cannot be written; the last one holds.
        """
        if not self._is_read:
            raise ValueError("read the reader of fetch() to its end before commit()")
        if self._seen is None:
            return
        state = {
            "table": self._table,
            "column": self._column,
            "type": str(self._seen.type),
            "last": self._seen.cast("string").as_py(),
        }
        with written_whole(self._state, replace=True) as file:
            file.write(json.dumps(state, indent=2).encode() + b"\n")

    def _watched(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        for batch in reader:
            array = batch.column(self._column)
            self._seen = pc.max(pa.array([self._seen, pc.max(array)], array.type))
            yield batch
        self._is_read = True

    def _start(self) -> Key | None:
        if self._seen is None:
            return None
        last: Any = self._seen.as_py()
        try:
            return last if self._lag is None else last - self._lag  # type: ignore[no-any-return]
        except OverflowError:  # before the first day
            return None
        except TypeError:
            raise SchemaMismatchError(
                f"a lag of {self._lag!r} cannot be taken from {last!r}", column=self._column
            ) from None

    def _last(self) -> pa.Scalar | None:
        """The last value committed, as one of the column's type; None before the first."""
        import pyarrow as pa

        try:
            state = json.loads(self._state.read_bytes())
            table, column, kind, last = (state[k] for k in ("table", "column", "type", "last"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptSourceError(
                f"{self._state} cannot be read as a cursor's state ({error!r}): restore it, or "
                "remove it to start from the beginning"
            ) from error
        if (table, column) != (self._table, self._column):
            raise SchemaMismatchError(
                f"{self._state} is the state of column {column!r} of table {table!r}: give each "
                "cursor its own",
                column=self._column,
            )
        schema = schema_of(self._source, table=self._table)
        found = schema.field(column).type if column in schema.names else None
        if str(found) != kind:
            raise SchemaMismatchError(
                f"it is {found}, and {self._state} holds a last value of {kind}: remove the state "
                "to start from the beginning",
                column=column,
            )
        return pa.scalar(last).cast(found)
