"""Rows out of any source, rows into any target: what this library is for."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from data_connector.backends import Backend, IfExists, Order, Request, open_backend
from data_connector.errors import CommitUnknownError, ConnectorError, UnsupportedSourceError
from data_connector.locations import Location, parse
from data_connector.observe import Progress, Watched
from data_connector.ranges import KeyRange
from data_connector.retry import again, passes

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import URL

# A batch of five columns is then about 3 MB: large enough that the cost a batch vanishes, small
# enough that a reader's memory is of no concern.
BATCH_ROWS = 65_536


def fetch(
    source: str | os.PathLike[str] | URL,
    *,
    table: str | None = None,
    query: str | None = None,
    columns: Sequence[str] | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    time_column: str = "timestamp",
    key_range: KeyRange | None = None,
    batch_rows: int = BATCH_ROWS,
    schema: pa.Schema | None = None,
    retries: int = 0,
    progress: Progress | None = None,
) -> pa.RecordBatchReader:
    """A reader over the rows of a table, a query's result, or a file.

    The rows stream: memory is bounded by `batch_rows`, not by the table. The reader owns its
    connection and closes it when exhausted, on an error, when closed (`with fetch(...) as
    reader:`), and when collected. Until then a SQLite database cannot be written by others.

    Args:
        source: a SQLAlchemy URL (`sqlite:///path`, `postgresql://user:password@host/database`,
            `mysql://...`, `mariadb://...`),
            or the path or URL (`file://`, `s3://`, `gs://`, `abfs://`, `https://`) of a
            `.parquet`, `.csv` or `.csv.gz` file, or of a folder of Parquet files.
        table: which table or view; may be left out where the source holds only one.
        query: a SELECT to run instead.
        columns: which columns, in this order; all by default.
        since: only rows of this time or later, by their `time_column`; with a zone.
        until: only rows of an earlier time than this; with a zone.
        time_column: a column of times; those without a zone are taken as UTC.
        key_range: only rows in this range, such as one of `split`. It and the times narrow a
            `query` from without, whose ORDER BY then need not hold.
        batch_rows: most rows in a batch.
        schema: the columns' types, for CSV, which knows none; otherwise they are guessed from the
            file's beginning. It names every column of the file.
        retries: how often to try again, with growing pauses from 0.5 s on, while the source cannot
            be reached or is locked. The first batch is then read at once; after it nothing is
            tried again, since rows were given out already.
        progress: called after each batch with the rows and bytes so far, as
            `data_connector.progress.progress_bar` gives it.

    Returns:
        A reader whose schema is the source's declared one. Times with a zone are
        `timestamp[us, tz=UTC]`; decimals without a declared precision are `decimal256(76, 38)`.
        Batches have at most `batch_rows` rows.

    Raises:
        ConnectorError: one of its subclasses, as far as possible here and not on the first read.
        ValueError: the arguments contradict each other.
    """
    _check_request(table=table, query=query, columns=columns, batch_rows=batch_rows)
    _check_retries(retries)
    ranges = [] if key_range is None else [key_range]
    if since is not None or until is not None:
        ranges.append(_time_range(time_column, since, until))
    location = parse(source)
    backend = open_backend(location)
    if query is not None and not backend.capabilities.queries:
        raise UnsupportedSourceError("files answer no query=: fetch columns, or use a database")
    if schema is not None and backend.capabilities.keeps_types:
        raise UnsupportedSourceError("schema= is for CSV; this source knows its columns' types")
    request = Request(
        table=table,
        query=query,
        columns=None if columns is None else tuple(columns),
        schema=schema,
        batch_rows=batch_rows,
        ranges=tuple(ranges),
    )

    def attempt() -> pa.RecordBatchReader:
        reader = backend.fetch(request)

        def watch(batches: Iterator[pa.RecordBatch]) -> Watched:
            watched = Watched("fetched", location, reader.schema, batches, progress)
            if retries:
                watched.read_ahead()
            return watched

        try:
            reader.through(watch)
        except BaseException:
            reader.close()
            raise
        return reader

    return again(attempt, retries=retries, harmless=passes)


def load(
    data: pa.Table | pa.RecordBatch | pa.RecordBatchReader,
    target: str | os.PathLike[str] | URL,
    *,
    table: str | None = None,
    if_exists: IfExists = "fail",
    key: Sequence[str] = ("transaction_id",),
    retries: int = 0,
    progress: Progress | None = None,
) -> int:
    """How many rows were written into a database's table or a file: all of them, or an error.

    A database's table is created from the data's schema where there is none, in one transaction
    with the rows. A file is written aside in its folder and renamed, an object written aside on
    this machine and uploaded, so that nobody ever reads half of one.

    `upsert` updates the rows whose key is there and inserts the others, so that the same load
    again changes nothing: it writes no row that is there as given already, but counts it. A table
    that it creates has the key as its primary key.

    Args:
        data: a table or a reader; a reader is consumed batch by batch, and closed.
        target: as the source of `fetch`; not a folder, nor `https://`.
        table: the table's name; required for a database.
        if_exists: what to do with a table or file that is there: `fail`, `append` rows of the same
            columns (in any order, of types that fit), `replace` it, or `upsert`, which only
            databases can.
        key: for `upsert`, the columns that tell rows apart.
        retries: how often to try again, with growing pauses from 0.5 s on, while the target cannot
            be reached or is locked. Rows are never loaded twice: a reader is not tried again once
            it was read from, and of loads whose commit got no answer only `upsert` and `replace`
            of a table are.
        progress: called after each batch with the rows and bytes so far, as
            `data_connector.progress.progress_bar` gives it.

    Raises:
        TargetExistsError: it is there, and `if_exists` is `fail`.
        SchemaMismatchError: a column cannot be stored there, or differs from what is there.
        ColumnNotFoundError: a column of the key is not in the data.
        DiskFullError: no room; the message names the disk.
        CommitUnknownError: the connection was lost at the commit, or an upload failed: look before
            you load again.
        ConnectorError: whatever else the target, or the reader's source, says.
        ValueError: the arguments contradict each other.
    """
    _check_order(if_exists=if_exists, key=key)
    _check_retries(retries)
    location = parse(target)
    backend = open_backend(location)
    if backend.capabilities.many_tables and not table:
        raise ValueError("table= is required: a database holds tables by name")
    if if_exists == "upsert" and not backend.capabilities.upserts:
        raise UnsupportedSourceError(
            "files have no keys to upsert by: give if_exists='append' or 'replace', or load into "
            "a database"
        )
    key = tuple(key) if if_exists == "upsert" else ()
    order = Order(table=table, if_exists=if_exists, key=key)
    return _loaded(data, location, backend, order, retries=retries, progress=progress)


def list_tables(source: str | os.PathLike[str] | URL) -> list[str]:
    """The names of the tables and views in a database, sorted; a file is one table, its stem.

    Raises:
        ConnectorError: the source is missing, unreachable or unreadable.
    """
    return open_backend(parse(source)).tables()


def schema_of(source: str | os.PathLike[str] | URL, *, table: str | None = None) -> pa.Schema:
    """The schema that `fetch` would yield; reads no rows of a database.

    Raises:
        ConnectorError: as `fetch`.
    """
    with fetch(source, table=table, batch_rows=1) as reader:
        return reader.schema


def _loaded(
    data: pa.Table | pa.RecordBatch | pa.RecordBatchReader,
    location: Location,
    backend: Backend,
    order: Order,
    *,
    retries: int,
    progress: Progress | None,
) -> int:
    from data_connector.streams import as_reader, can_be_read_again

    rereadable = can_be_read_again(data)
    touched = False

    def attempt() -> int:
        nonlocal touched
        batches = as_reader(data, batch_rows=BATCH_ROWS) if rereadable else reader
        watched = Watched("loaded", location, batches.schema, batches, progress)
        try:
            rows = backend.load(watched, order)
        except BaseException as error:
            watched.end(error)
            touched = watched.asked
            raise
        watched.end()
        return rows

    def harmless(error: ConnectorError) -> bool:
        if touched and not rereadable:
            return False
        if isinstance(error, CommitUnknownError):
            return order.if_exists in ("upsert", "replace")
        return passes(error)

    with as_reader(data, batch_rows=BATCH_ROWS) as reader:
        return again(attempt, retries=retries, harmless=harmless)


def _check_retries(retries: int) -> None:
    if retries < 0:
        raise ValueError(f"retries must not be negative, got {retries=}")


def _check_order(*, if_exists: IfExists, key: Sequence[str]) -> None:
    if if_exists not in get_args(IfExists):
        raise ValueError(f"if_exists must be one of {get_args(IfExists)}, got {if_exists!r}")
    if isinstance(key, str) or not key or len(set(key)) < len(key):
        raise ValueError(f"key must be a list of different names, got {key=}")


def _time_range(column: str, since: dt.datetime | None, until: dt.datetime | None) -> KeyRange:
    for name, time in (("since", since), ("until", until)):
        if time is not None and not (isinstance(time, dt.datetime) and time.tzinfo):
            raise ValueError(
                f"{name} must be a datetime with a zone, as in datetime(2018, 4, 1, tzinfo=UTC), "
                f"got {time!r}"
            )
    if since is not None and until is not None and since > until:
        raise ValueError(f"since must not lie after until, got {since=!s}, {until=!s}")
    return KeyRange(column=column, start=since, stop=until)


def _check_request(
    *, table: str | None, query: str | None, columns: Sequence[str] | None, batch_rows: int
) -> None:
    if table is not None and query is not None:
        raise ValueError("give table= or query=, not both")
    if batch_rows < 1:
        raise ValueError(f"batch_rows must be positive, got {batch_rows=}")
    if columns is None:
        return
    if isinstance(columns, str) or not columns:
        raise ValueError(f"columns must be a non-empty list of names, got {columns=}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns must differ, got {columns=}")
