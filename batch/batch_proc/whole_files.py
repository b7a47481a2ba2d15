"""Files that Spark tasks write: whole or not at all, whoever else writes the same one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from data_connector.atomic import sync_folder, write_errors

ROW_GROUP = 131_072
"""Rows: readers take a group at a time, and skip those of other times."""

# Said here, so that another release's defaults do not change the bytes unasked.
_PARQUET = {"compression": "zstd", "compression_level": 1, "version": "2.6"}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends.

    A task that Spark has started twice, or once more, may write the same file at the same time:
    each writes its own, and the last to end wins, with the same bytes. What a killed task leaves
    is hidden, and goes with the folder.

    Raises:
        DiskFullError: no room.
        WriteError: the operating system refused otherwise.
    """
    aside = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        with write_errors(path):
            yield aside
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            aside.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Writes a Parquet file that appears when the block ends; the same rows, the same bytes.

    Raises:
        WriteError: as :func:`whole_file`.
    """
    # Of ids, times and scores each is another: a dictionary of them takes twice the time, and room.
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    options = {**_PARQUET, "use_dictionary": texts or False}
    with whole_file(path) as aside, pq.ParquetWriter(aside, schema, **options) as writer:
        yield writer


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes a table as :func:`parquet_writer` does."""
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
