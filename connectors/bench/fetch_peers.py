"""Ways to fetch a table of transactions into Arrow: ours and others', each run in its own process.

As a program, `fetch_peers.py NAME URL` prints the seconds that one fetch takes, and `--stream`
the megabytes that it needs at most to go over all rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

OURS = "ours"
TABLE = "transactions"
UTC = pa.timestamp("us", tz="UTC")
WARM = f"SELECT * FROM {TABLE} WHERE transaction_id < 1000"  # noqa: S608
ALL = f"SELECT * FROM {TABLE}"  # noqa: S608

Fetch = Callable[[str, str], Iterable[pa.RecordBatch]]


def ours(url: str, query: str) -> Iterable[pa.RecordBatch]:
    """This library."""
    import data_connector as dc

    return dc.fetch(url, query=query)  # type: ignore[no-any-return]


def pandas(url: str, query: str) -> Iterable[pa.RecordBatch]:
    """`pandas.read_sql`, through SQLAlchemy and psycopg 3."""
    import pandas as pd
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        frame = pd.read_sql(sa.text(query), connection)
    engine.dispose()
    return pa.Table.from_pandas(frame).to_batches()  # type: ignore[no-any-return]


def connectorx(url: str, query: str) -> Iterable[pa.RecordBatch]:
    """ConnectorX, by one connection, as all the others."""
    import connectorx as cx

    return cx.read_sql(_plain(url), query, return_type="arrow").to_batches()  # type: ignore[no-any-return]


def polars(url: str, query: str) -> Iterable[pa.RecordBatch]:
    """`polars.read_database_uri`, through ADBC where there is a driver, else through ConnectorX."""
    import polars as pl

    engine = "adbc" if url.startswith("postgresql") else "connectorx"
    frame = pl.read_database_uri(query, _plain(url), engine=engine)  # type: ignore[arg-type]
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches()  # type: ignore[no-any-return]


def adbc(url: str, query: str) -> Iterable[pa.RecordBatch]:
    """ADBC's PostgreSQL driver by itself."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        yield from cursor.fetch_record_batch()


PEERS: dict[str, dict[str, Fetch]] = {
    "postgresql": {
        OURS: ours,
        "pandas": pandas,
        "ConnectorX": connectorx,
        "Polars": polars,
        "ADBC": adbc,
    },
    "sqlite": {OURS: ours, "pandas": pandas, "ConnectorX": connectorx, "Polars": polars},
}


def times_read(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its times as times: from SQLite, others yield the text that it stores."""
    index = batch.schema.get_field_index("timestamp")
    return batch.set_column(index, "timestamp", batch.column(index).cast(UTC))


def table_of(fetch: Fetch, url: str, query: str) -> pa.Table:
    """The whole table."""
    return pa.Table.from_batches(map(times_read, fetch(url, query)))


def sum_of(fetch: Fetch, url: str, query: str) -> float:
    """The sum of all amounts, batch by batch where they come so."""
    return sum(pc.sum(times_read(batch)["amount"]).as_py() for batch in fetch(url, query))


def _plain(url: str) -> str:
    return url.replace("sqlite:///", "sqlite://")


def _peak() -> float:
    # Not by `getrusage`, which counts what the parent held when it started us.
    with Path("/proc/self/status").open() as status:
        kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


def main() -> None:
    """One measurement, on standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("url")
    parser.add_argument("--stream", action="store_true")
    given = parser.parse_args()
    fetch = PEERS[given.url.partition(":")[0]][given.name]
    use = sum_of if given.stream else table_of
    use(fetch, given.url, WARM)  # imports, and whatever else happens once
    before, started = _peak(), time.perf_counter()
    use(fetch, given.url, ALL)
    taken = time.perf_counter() - started
    sys.stdout.write(f"{_peak() - before if given.stream else taken}\n")


if __name__ == "__main__":
    main()
