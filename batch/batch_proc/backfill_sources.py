"""The history that a backfill reads: checked as it streams by, and put down by days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

import data_connector
from batch_proc.backfill_options import BackfillOptions
from batch_proc.backfill_work import Work
from batch_proc.column_names import OPTIONAL_COLUMNS
from batch_proc.history import LABELS, TRANSACTIONS, check_columns
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import (
    LABEL_COLUMNS,
    known_labels,
    normalise_labels,
    normalise_transactions,
    transaction_columns,
)

OnRows = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Read:
    """What was put down."""

    transactions: int
    labels: int
    schema: pa.Schema
    """Of the transactions."""


class _Reader:
    """Reads transactions and labels from before a time."""

    def __init__(self, options: BackfillOptions, spec: FeatureSpec, until: int, work: Work) -> None:
        self._options = options
        self._spec = spec
        self._until = pa.scalar(until, pa.timestamp("us", tz="UTC"))
        self._work = work
        self._names = options.column_names
        self._source = options.transactions
        self._tables = data_connector.list_tables(self._source)
        table = options.table or (TRANSACTIONS if TRANSACTIONS in self._tables else None)
        self._table = table
        self._there = data_connector.schema_of(self._source, table=table).names
        check_columns(spec, self._names, self._there)

    def transactions(self, on_rows: OnRows) -> tuple[int, int, pa.Schema]:
        """Puts down transactions, and labels where they lie in the same rows."""
        columns = list(transaction_columns(self._spec))
        with_labels = self._options.labels is None and self._has("is_fraud")
        if with_labels:
            columns += [name for name in OPTIONAL_COLUMNS if self._has(name)]
        theirs = [self._names.get(name, name) for name in columns]
        read = n_labels = 0
        schema = None
        for first, rows in _tables(self._source, self._table, theirs):
            ours = rows.rename_columns(columns)
            with _rows_from(first):
                found = normalise_transactions(ours, self._spec, source_names=self._names)
                labels = self._labels_in(ours, found) if with_labels else None
            found = found.filter(pc.less(found["timestamp"], self._until))
            self._work.transactions.add(found)
            read, schema = read + found.num_rows, found.schema
            if labels is not None:
                n_labels += self._put_down_labels(labels)
            on_rows(first + rows.num_rows)
        if not read or schema is None:
            raise DataError(f"{self._options.shown}: there are no transactions before --until")
        return read, n_labels, schema

    def labels(self, ids: pa.DataType) -> int:
        """Puts down labels that lie in a table of their own; how many."""
        source, table, names = self._options.labels, self._options.labels_table, {}
        if source is None:
            if self._has("is_fraud") or LABELS not in self._tables:
                return 0
            source, table = self._source, LABELS
        there = data_connector.schema_of(source, table=table).names
        missing = [name for name in LABEL_COLUMNS if name not in there]
        if missing:
            raise DataError(f"labels lack {', '.join(missing)}; they have: {', '.join(there)}")
        n_labels = 0
        for first, rows in _tables(source, table, list(LABEL_COLUMNS)):
            with _rows_from(first):
                labels = known_labels(rows, source_names=names)
            if labels.num_rows and labels["transaction_id"].type != ids:
                raise DataError(
                    f"labels have ids of type {labels['transaction_id'].type}, transactions of"
                    f" type {ids}; cast one of them"
                )
            n_labels += self._put_down_labels(labels)
        return n_labels

    def _has(self, name: str) -> bool:
        return name in self._names or name in self._there

    def _labels_in(self, rows: pa.Table, transactions: pa.Table) -> pa.Table:
        delay = self._options.label_delay
        labels = normalise_labels(rows, transactions, label_delay=delay, source_names=self._names)
        return known_labels(labels)

    def _put_down_labels(self, labels: pa.Table) -> int:
        labels = labels.filter(pc.less(labels["labelled_at"], self._until))
        self._work.labels.add(labels)
        return int(labels.num_rows)


def put_down(
    options: BackfillOptions, spec: FeatureSpec, until: int, work: Work, on_rows: OnRows
) -> Read:
    """Puts the history from before ``until`` down in ``work``, by days, in memory of a batch.

    Labels are those of ``--labels``, else the column ``is_fraud`` of the transactions, else the
    table ``labels`` beside them; else there are none.

    Args:
        options: name the sources.
        spec: whose columns to read.
        until: microseconds since 1970-01-01 UTC.
        work: gets the rows.
        on_rows: told how many transactions have been read.

    Raises:
        ConnectorError: a source cannot be read, or lacks a table or column.
        DataError: its contents are not transactions or labels.
    """
    reader = _Reader(options, spec, until, work)
    transactions, labels, schema = reader.transactions(on_rows)
    labels += reader.labels(schema.field("transaction_id").type)
    return Read(transactions, labels, schema)


def _tables(source: str, table: str | None, columns: list[str]) -> Iterator[tuple[int, pa.Table]]:
    """Batches that are not empty, each with the number of its first row."""
    first = 0
    with data_connector.fetch(source, table=table, columns=columns) as reader:
        for batch in reader:
            if batch.num_rows:
                yield first, pa.Table.from_batches([batch])
            first += batch.num_rows


class _rows_from:  # noqa: N801 - reads as a statement
    """Says of an error in a batch where the batch begins."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._first and isinstance(error, DataError):
            raise DataError(f"{error}; rows are counted from row {self._first:,} on") from error
