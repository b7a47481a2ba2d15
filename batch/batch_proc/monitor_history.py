"""What was measured each day, kept in a database, so that trends can be seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import data_connector
from batch_proc.monitor_measures import Measured
from data_connector.errors import SourceNotFoundError, TableNotFoundError
from fraud_ml.errors import DataError

TABLE = "monitor"
KEY = ("day", "model", "version", "measure")
SCHEMA = pa.schema(
    [
        ("day", pa.date32()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("measure", pa.string()),
        ("value", pa.float64()),
    ]
)


def usual_history(home: Path) -> str:
    """The URL of the history in `home`."""
    return f"sqlite:///{home / 'monitor.db'}"


def keep(url: str, model: str, days: Sequence[tuple[int, Measured]]) -> int:
    """How many rows are kept now of these: those that were there as given are not written again.

    Args:
        url: of a database that can upsert.
        model: its name.
        days: versions, with what was measured of each.

    Raises:
        ConnectorError: the database cannot be written.
    """
    rows = pa.table(
        [
            [day for _, (day, _, _) in days],
            [model] * len(days),
            [version for version, _ in days],
            [name for _, (_, name, _) in days],
            [value for _, (_, _, value) in days],
        ],
        schema=SCHEMA,
    )
    return data_connector.load(rows, url, table=TABLE, if_exists="upsert", key=KEY)


def read(url: str, model: str, *, since: dt.date, until: dt.date) -> pa.Table:
    """The rows of one model on the days from ``since`` on and before ``until``, in order.

    None where there is no history yet.

    Raises:
        ConnectorError: the database cannot be read.
        DataError: its table is not a history.
    """
    try:
        with data_connector.fetch(url, table=TABLE) as reader:
            missing = [name for name in SCHEMA.names if name not in reader.schema.names]
            if missing:
                raise DataError(
                    f"the history's table {TABLE!r} lacks {', '.join(missing)}: it is not one of"
                    " //batch:monitor; choose another database with --history"
                )
            rows = reader.read_all().select(SCHEMA.names).cast(SCHEMA)
    except (SourceNotFoundError, TableNotFoundError):
        return SCHEMA.empty_table()
    day = rows["day"]
    wanted = pc.and_(
        pc.equal(rows["model"], model),
        pc.and_(pc.greater_equal(day, pa.scalar(since)), pc.less(day, pa.scalar(until))),
    )
    return rows.filter(wanted).sort_by([(name, "ascending") for name in KEY])
