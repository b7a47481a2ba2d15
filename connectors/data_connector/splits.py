"""A table in parts, for several readers at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from data_connector.backends import choose_table, open_backend
from data_connector.errors import UnsupportedSourceError
from data_connector.locations import parse
from data_connector.ranges import KeyRange, check_ranges
from data_connector.transfer import fetch, list_tables, schema_of

if TYPE_CHECKING:
    from sqlalchemy import URL


def split(
    source: str | os.PathLike[str] | URL, *, table: str | None = None, column: str, parts: int
) -> list[KeyRange]:
    """Ranges of about equally many rows, for `fetch(..., key_range=...)`, in order of the keys.

    Every row lies in exactly one of them, whatever is written meanwhile; rows without a key lie in
    the first. Rows with the same key stay together, so that there may be fewer parts than asked
    for.

    Args:
        source: a database.
        table: which table or view; may be left out where the source holds only one.
        column: integers, decimals, texts, dates or times. The database sorts by it, which an
            index spares.
        parts: how many, at most.

    Raises:
        UnsupportedSourceError: a file.
        ColumnNotFoundError: no such column.
        SchemaMismatchError: the column is of another type.
        ConnectorError: as `fetch`.
    """
    from data_connector.statements import quoted

    if parts < 1:
        raise ValueError(f"parts must be positive, got {parts=}")
    if not open_backend(parse(source)).capabilities.queries:
        raise UnsupportedSourceError("files are not split: fetch each file of a folder by itself")
    table = choose_table(list_tables(source), table)
    check_ranges([KeyRange(column=column)], schema_of(source, table=table))
    key, relation = quoted(column), quoted(table)
    counted = _column(source, f"SELECT count({key}) AS n FROM {relation}")  # noqa: S608
    firsts = sorted({counted[0] * part // parts + 1 for part in range(1, parts)})
    numbered = (
        f"SELECT {key} AS first, row_number() OVER (ORDER BY {relation}.{key}) AS n "  # noqa: S608
        f"FROM {relation} WHERE {key} IS NOT NULL"
    )
    chosen = ", ".join(map(str, firsts)) or "0"
    query = f"SELECT first FROM ({numbered}) AS numbered WHERE n IN ({chosen})"  # noqa: S608
    # Sorted once more, since a database's collation may have another order than the ranges.
    starts = sorted(set(_column(source, query)))
    return [
        KeyRange(column=column, start=start, stop=stop, nulls=start is None)
        for start, stop in zip([None, *starts], [*starts, None], strict=True)
    ]


def _column(source: str | os.PathLike[str] | URL, query: str) -> list[Any]:
    with fetch(source, query=query) as reader:
        return [value for batch in reader for value in batch.column(0).to_pylist()]
