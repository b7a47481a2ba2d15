"""Where in the user's files a transaction lies, for the message of an error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from batch_proc.bucket_task import Before
from batch_proc.key_hash import hashes
from batch_proc.pieces import read_piece
from batch_proc.raw_rows import RawRows
from batch_proc.read_task import repeated
from batch_proc.source_files import Split
from batch_proc.spark_jobs import gather
from fraud_ml.errors import DataError


def places_of(
    session: SparkSession,
    rows: RawRows,
    splits: Sequence[Split],
    transaction_id: str,
    *,
    size: int,
) -> list[str]:
    """The files, and the rows in them, of a transaction; none where nobody knows the files."""
    kind = rows.kind("transaction_id")
    number: Any = int(transaction_id) if pa.types.is_integer(kind) else transaction_id
    (of,) = hashes(pa.chunked_array([[number]])).tolist()
    return [place for _, place in _found(session, rows, splits, of, size) if place is not None]


def check_repeats(
    session: SparkSession, rows: RawRows, splits: Sequence[Split], before: Before, *, size: int
) -> None:
    """Says which id is repeated, where, and how many repeats there are.

    Raises:
        DataError: it says so.
    """
    placing = before.ids_placing
    assert placing is not None  # noqa: S101 - only the first stage finds repeats
    found = gather(session, partial(_repeats, before), range(placing.n_pieces))
    numbers = np.concatenate(found)
    if not len(numbers):
        return
    there = _found(session, rows, splits, int(numbers.min()), size)
    value = there[0][0]
    places = " and again in ".join(place for _, place in there if place) or "twice"
    raise DataError(
        f"column {rows.columns['transaction_id']!r}: {value} occurs in {places},"
        f" {len(numbers)} such repeats; drop the repeats or make the ids unique"
    )


def _repeats(before: Before, part: int) -> Any:
    assert before.ids_placing is not None  # noqa: S101 - as above
    return repeated(read_piece(before.ids, part, before.ids_placing))


def _found(
    session: SparkSession, rows: RawRows, splits: Sequence[Split], number: int, size: int
) -> list[tuple[str, str | None]]:
    """Ids of that hash, two at most, and their places."""
    asked = partial(_ask, rows, size, number)
    return [it for part in gather(session, asked, splits) for it in part][:2]


def _ask(rows: RawRows, size: int, number: int, split: Split) -> list[tuple[str, str | None]]:
    return rows.found(split, size, number)
