"""The output in a database: all rows in one transaction, updated where they were there before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import data_connector
from batch_proc.day_files import sorted_days

KEY = "transaction_id"


def upsert_days(days: Path, target: str, *, table: str) -> int:
    """How many rows were upserted; the same again change nothing.

    Args:
        days: the folder with the days.
        target: the database's URL.
        table: the table; it is made if it is not there.

    Raises:
        ConnectorError: the database refused; it is as before.
    """
    files = sorted_days(days)
    # What says which model wrote a file is no column's business.
    schema = pq.read_schema(files[0]).remove_metadata()

    def batches() -> Iterator[pa.RecordBatch]:
        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches():
                    yield batch.cast(schema)

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    return data_connector.load(reader, target, table=table, if_exists="upsert", key=[KEY])
