"""What champion and challenger said of the same transactions, in a table, and a summary of it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from data_connector import SourceNotFoundError, fetch, list_tables

TABLE = "shadow"
TABLE_OF_MISSED = "shadow_missed"

_VERSIONS = (("champion_version", pa.int64()), ("challenger_version", pa.int64()))

COMPARED = pa.schema(
    [
        ("at", pa.timestamp("us", "UTC")),
        *_VERSIONS,
        ("transaction_id", pa.string()),
        ("champion_score", pa.float64()),
        ("challenger_score", pa.float64()),
        ("champion_decision", pa.string()),
        ("challenger_decision", pa.string()),
    ]
)
"""Of :data:`TABLE`: a row for each transaction."""
MISSED = pa.schema([("at", pa.timestamp("us", "UTC")), *_VERSIONS, ("missed", pa.int64())])
"""Of :data:`TABLE_OF_MISSED`: how many were not compared since the row before."""

_MEASURES = (
    "COUNT(*) AS compared, AVG(challenger_score - champion_score) AS difference,"
    " SUM(CASE WHEN champion_decision <> challenger_decision THEN 1 ELSE 0 END) AS others"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How two versions differ."""

    compared: int
    """Transactions."""
    missed: int
    """Transactions that were not compared."""
    difference: float
    """Mean of the challenger's score less the champion's."""
    other_decisions: float
    """Share of transactions that the two decide otherwise, 0 to 1."""


def compare(url: str, champion: int, challenger: int) -> Comparison:
    """The comparison of two versions in the tables at ``url``; of 0 transactions at first.

    Raises:
        ConnectorError: they cannot be read.
    """
    pair = f"champion_version = {champion:d} AND challenger_version = {challenger:d}"
    found = _one_row(url, TABLE, f"SELECT {_MEASURES} FROM {TABLE} WHERE {pair}")  # noqa: S608
    missed = _one_row(
        url,
        TABLE_OF_MISSED,
        f"SELECT SUM(missed) AS missed FROM {TABLE_OF_MISSED} WHERE {pair}",  # noqa: S608
    )
    compared = int(found.get("compared") or 0)
    return Comparison(
        compared=compared,
        missed=int(missed.get("missed") or 0),
        difference=float(found.get("difference") or 0.0),
        other_decisions=int(found.get("others") or 0) / max(compared, 1),
    )


def _one_row(url: str, table: str, query: str) -> dict[str, float]:
    """The result of ``query``; empty where the table is not there yet."""
    try:
        if table not in list_tables(url):
            return {}
    except SourceNotFoundError:
        return {}
    with fetch(url, query=query) as reader:
        (row,) = reader.read_all().to_pylist()
    found: dict[str, float] = row
    return found
