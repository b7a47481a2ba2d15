"""How fast payments are loaded into PostgreSQL and SQLite, against the drivers and pandas."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pyarrow import csv

from data_connector import load
from data_connector.postgresql_copy import binary
from tools.bench.harness import Result, in_turn, say

OURS = "ours"
ROUNDS = 3
TABLE = "payments"
BATCH_ROWS = 65_536

COLUMNS = {
    "transaction_id": "BIGINT",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "customer_id": "BIGINT",
    "terminal_id": "BIGINT",
    "amount": "DOUBLE PRECISION",
}
CREATE = f"CREATE TABLE {TABLE} ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})"
DROP = f"DROP TABLE IF EXISTS {TABLE}"

# Seconds are compared by the row, so that slow peers may have fewer of them.
Contender = tuple[Callable[[], object], int]


def bench_load(*, url: str, quick: bool) -> list[Result]:
    """Our rows a second into a new table, and how many times those of the best peer they are.

    The drivers have their rows ready, as COPY's bytes (the binary ones are ours) and as Python's
    tuples, and only send them; we start from Arrow, and pandas from a DataFrame. All connect,
    replace the table and commit.

    Args:
        url: of a PostgreSQL database whose table `payments` may be replaced.
        quick: a tenth of the rows.
    """
    rows = payments(500_000 if quick else 5_000_000)
    say(f"loads of {rows.num_rows:,} rows")
    with tempfile.TemporaryDirectory(prefix="load_bench") as folder:
        return [
            compared("load_postgresql", dict(postgresql(rows, url))),
            compared("load_sqlite", dict(sqlite(rows, Path(folder)))),
        ]


def compared(name: str, contenders: Mapping[str, Contender]) -> Result:
    """Ours against the fastest of the others, by the row."""
    seconds = in_turn({who: run for who, (run, _) in contenders.items()}, rounds=ROUNDS)
    speed = {who: rows / seconds[who] for who, (_, rows) in contenders.items()}
    ours = speed.pop(OURS)
    for who, theirs in speed.items():
        say(f"  {who}: {theirs:,.0f} rows/s, ours {ours / theirs:.2f} times")
    best = max(speed, key=lambda who: speed[who])
    return Result(name=name, value=ours, unit="rows/s", peer=best, ratio=ours / speed[best])


def payments(n: int) -> pa.Table:
    """`n` random payments of half a year, in the order of time."""
    rng = np.random.default_rng(0)
    first, half_a_year = 1_522_540_800_000_000, 183 * 86_400_000_000  # microseconds
    times = first + np.sort(rng.integers(0, half_a_year, n))
    return pa.table(
        {
            "transaction_id": np.arange(n),
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
            "customer_id": rng.integers(0, 5_000, n),
            "terminal_id": rng.integers(0, 10_000, n),
            "amount": np.round(rng.gamma(2, 30, n), 2),
        }
    )


def postgresql(rows: pa.Table, url: str) -> Iterator[tuple[str, Contender]]:
    """Ours, COPY of bytes that are there already, and pandas."""
    batches = rows.to_batches(BATCH_ROWS)
    forms = {
        "csv": [csv_bytes(batch) for batch in batches],
        "binary": [bytes(piece) for piece in binary(iter(batches))],
    }

    def copy(form: str) -> None:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(DROP)
            cursor.execute(CREATE.encode())
            statement = f"COPY {TABLE} FROM STDIN (FORMAT {form})"
            with cursor.copy(statement.encode()) as copying:
                for piece in forms[form]:
                    copying.write(piece)

    yield OURS, (lambda: load(rows, url, table=TABLE, if_exists="replace"), rows.num_rows)
    yield "psycopg, COPY of ready binary", (lambda: copy("binary"), rows.num_rows)
    yield "psycopg, COPY of ready CSV", (lambda: copy("csv"), rows.num_rows)
    few = rows.slice(0, rows.num_rows // 50)
    engine = sa.make_url(url).set(drivername="postgresql+psycopg")
    yield "pandas.to_sql", (to_sql(few.to_pandas(), engine), few.num_rows)


def csv_bytes(batch: pa.RecordBatch) -> bytes:
    """The rows as COPY ... (FORMAT csv) reads them."""
    sink = pa.BufferOutputStream()
    csv.write_csv(batch, sink, csv.WriteOptions(include_header=False))
    return bytes(sink.getvalue())


def sqlite(rows: pa.Table, folder: Path) -> Iterator[tuple[str, Contender]]:
    """Ours, executemany of tuples that are there already, and pandas, each into its own file."""
    few = rows.slice(0, rows.num_rows // 5)  # tuples take ten times the memory of Arrow
    text = pc.binary_join_element_wise(
        few["timestamp"].cast(pa.timestamp("us")).cast(pa.string()), "Z", ""
    )
    stored = few.set_column(1, "timestamp", text)
    tuples = list(zip(*(column.to_pylist() for column in stored.columns), strict=True))

    def executemany() -> None:
        with closing(sqlite3.connect(folder / "raw.db")) as connection, connection:
            connection.execute(DROP)
            connection.execute(CREATE)
            connection.executemany(f"INSERT INTO {TABLE} VALUES (?, ?, ?, ?, ?)", tuples)  # noqa: S608

    def ours() -> None:
        load(rows, f"sqlite:///{folder}/ours.db", table=TABLE, if_exists="replace")

    yield OURS, (ours, rows.num_rows)
    yield "sqlite3, executemany of ready tuples", (executemany, few.num_rows)
    url = sa.make_url(f"sqlite:///{folder}/pandas.db")
    yield "pandas.to_sql", (to_sql(few.to_pandas(), url), few.num_rows)


def to_sql(frame: pd.DataFrame, url: sa.URL) -> Callable[[], object]:
    """What loads the frame by pandas and SQLAlchemy."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return lambda: frame.to_sql(TABLE, engine, if_exists="replace", index=False)
