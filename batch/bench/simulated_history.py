"""A history of any length as Parquet files, and ready features of it, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraud_ml.feature_spec import FeatureSpec, WindowFeature
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate
from fraud_ml.transactions import label_schema

CUSTOMERS = 5_000  # of a piece: 1.75 million transactions in the handbook's six months
N_DAYS = 183
IDENTITIES = ("transaction_id", "customer_id", "terminal_id")
ROW_GROUP = 250_000


def write_history(folder: Path, n_rows: int, *, n_days: int = N_DAYS) -> list[Path]:
    """Files with `n_rows` transactions in all, their labels in the column `is_fraud`.

    Each file has a population of its own, as the simulator makes it: keys have as many payments
    as the handbook's, however many rows there are. All files are of the same days.
    """
    files: list[Path] = []
    written = 0
    while written < n_rows:
        path = folder / f"payments-{len(files):04}.parquet"
        rows = _piece(len(files), n_rows - written, n_days, first_id=written)
        _write(rows, path)
        written += rows.num_rows
        files.append(path)
    return files


def _piece(number: int, wanted: int, n_days: int, *, first_id: int) -> pa.Table:
    """At most `wanted` rows of the population with that number."""
    a_customer = 1.9 * n_days  # payments: two a day, less those that the simulator drops
    n_customers = min(CUSTOMERS, max(math.ceil(1.2 * wanted / a_customer), 50))
    n_terminals = 2 * n_customers
    scenario = Scenario(
        n_days=n_days,
        seed=number,
        population=Population(
            n_customers=n_customers,
            n_terminals=n_terminals,
            radius=5 * math.sqrt(10_000 / n_terminals),  # the handbook's 78 terminals in reach
        ),
    )
    simulated = simulate(scenario)
    rows = simulated.transactions.append_column("is_fraud", simulated.labels["is_fraud"])
    for name, first in zip(
        IDENTITIES, (first_id, number * CUSTOMERS, number * 2 * CUSTOMERS), strict=True
    ):
        at = rows.column_names.index(name)
        rows = rows.set_column(at, rows.schema.field(at), pc.add(rows[name], first))
    return rows.slice(0, wanted)


def _write(rows: pa.Table, path: Path) -> None:
    """In row groups, which Spark divides among tasks: some of them however few rows there are."""
    pq.write_table(rows, path, row_group_size=min(ROW_GROUP, math.ceil(rows.num_rows / 8)))


def write_features(files: Sequence[Path], spec: FeatureSpec, folder: Path) -> list[Path]:
    """The features of a history, a file each, one `float` column a feature."""
    written = []
    for path in files:
        rows = pq.read_table(path)
        matrix = feature_matrix(compute_features(rows, labels_of(rows, spec), spec))
        columns = dict(zip(spec.names, matrix.T, strict=True))
        written.append(folder / path.name.replace("payments", "features"))
        _write(pa.table(columns), written[-1])
    return written


def labels_of(rows: pa.Table, spec: FeatureSpec) -> pa.Table:
    """The labels of a file's rows, known after the delay of the spec's windows."""
    delay = max(it.delay for it in spec.features if isinstance(it, WindowFeature))
    known = pc.add(rows["timestamp"], pa.scalar(delay, pa.duration("us")))
    schema = label_schema(transaction_id=rows.schema.field("transaction_id").type)
    return pa.table([rows["transaction_id"], rows["is_fraud"], known], schema=schema)


def first_files(files: Sequence[Path], most: int) -> Iterator[Path]:
    """As many of the files as have at most `most` rows, and the first in any case."""
    there = 0
    for path in files:
        there += pq.read_metadata(path).num_rows
        if there > most and path != files[0]:
            return
        yield path


def rows_in(files: Sequence[Path]) -> int:
    """How many rows the files have."""
    return sum(pq.read_metadata(path).num_rows for path in files)


def bytes_in(files: Sequence[Path]) -> int:
    """How large the files are."""
    return sum(path.stat().st_size for path in files)
