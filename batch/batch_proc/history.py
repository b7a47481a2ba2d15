"""Where training gets its transactions and labels: the user's source, or a simulation."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import data_connector
from batch_proc.column_names import OPTIONAL_COLUMNS
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.scenario import Scenario
from fraud_ml.simulator import simulate
from fraud_ml.transactions import (
    LABEL_COLUMNS,
    TRANSACTION_COLUMNS,
    normalise_labels,
    normalise_transactions,
    transaction_columns,
)

TRANSACTIONS, LABELS, TRUTH = "transactions", "labels", "truth"


@dataclass(frozen=True, slots=True)
class History:
    """Transactions and what is known of them, row by row the same, in time order."""

    transactions: pa.Table
    labels: pa.Table

    @property
    def last_day(self) -> dt.date:
        """In UTC, of the transactions."""
        last: dt.datetime = pc.max(self.transactions.column("timestamp")).as_py()
        return last.date()


def simulate_into(database: Path, scenario: Scenario) -> None:
    """Simulates transactions, labels and their hidden truth into a new SQLite database.

    The database appears whole or not at all: it is written aside and renamed.

    Raises:
        ConnectorError: it cannot be written.
    """
    simulation = simulate(scenario)
    database.parent.mkdir(parents=True, exist_ok=True)
    aside = database.with_name(f"{database.name}.{os.getpid()}.tmp")
    try:
        for name, table in (
            (TRANSACTIONS, simulation.transactions),
            (LABELS, simulation.labels),
            (TRUTH, simulation.truth.select(["transaction_id", "scenario"])),
        ):
            data_connector.load(table, f"sqlite:///{aside}", table=name)
        aside.replace(database)
    finally:
        for leftover in (aside, aside.with_name(f"{aside.name}-journal")):
            leftover.unlink(missing_ok=True)


def fetch_history(
    source: str,
    *,
    table: str | None,
    names: Mapping[str, str],
    spec: FeatureSpec,
    label_delay: dt.timedelta,
) -> History:
    """The transactions and labels of a source, checked and sorted.

    Labels are the source's column `is_fraud`, or, in a database, its table `labels`.

    Args:
        source: a SQLAlchemy URL or a file's path.
        table: the transactions' table; by default the one called `transactions`, or the only one.
        names: our column name to the source's, where they differ.
        spec: whose columns to fetch.
        label_delay: from a transaction to its label, where no `labelled_at` says when.

    Raises:
        ConnectorError: the source cannot be read, or lacks a table or column.
        DataError: its contents are not transactions or labels.
    """
    tables = data_connector.list_tables(source)
    table = table or (TRANSACTIONS if TRANSACTIONS in tables else None)
    there = data_connector.schema_of(source, table=table).names
    columns = [
        *transaction_columns(spec),
        *(name for name in OPTIONAL_COLUMNS if name in names or name in there),
    ]
    check_columns(spec, names, there)
    rows = _fetch(source, table, columns, names)
    transactions = normalise_transactions(rows, spec, source_names=names)
    if "is_fraud" not in columns:
        rows, names = _fetch_labels(source, tables, there), {}
    labels = normalise_labels(rows, transactions, label_delay=label_delay, source_names=names)
    return History(transactions, labels)


def check_columns(spec: FeatureSpec, names: Mapping[str, str], there: list[str]) -> None:
    """Raises :class:`DataError` where a source has ``there`` less than the spec reads.

    Args:
        spec: of the features.
        names: our column name to the source's, where they differ.
        there: the source's columns.
    """
    for name in spec.columns:
        theirs = names.get(name, name)
        if name not in TRANSACTION_COLUMNS and theirs not in there:
            mapped = "" if theirs == name else f" ({name})"
            raise DataError(
                f"missing column {theirs!r}{mapped}, which feature {spec.reader_of(name)!r} reads;"
                f" the transactions have: {', '.join(there)}. Name the column with a line"
                f' {name} = "..." in the --columns file, or leave out the feature in a --spec file'
            )


def _fetch(
    source: str, table: str | None, columns: list[str], names: Mapping[str, str]
) -> pa.Table:
    theirs = [names.get(name, name) for name in columns]
    with data_connector.fetch(source, table=table, columns=theirs) as reader:
        return reader.read_all().rename_columns(columns)


def _fetch_labels(source: str, tables: list[str], transaction_columns: list[str]) -> pa.Table:
    if LABELS not in tables:
        raise DataError(
            "no labels: the transactions have no column is_fraud (columns there:"
            f" {', '.join(transaction_columns)}) and the source has no table {LABELS!r};"
            ' name the column with a line is_fraud = "..." in the --columns file'
        )
    there = data_connector.schema_of(source, table=LABELS).names
    columns = [name for name in LABEL_COLUMNS if name != "labelled_at" or name in there]
    return _fetch(source, LABELS, columns, {})
