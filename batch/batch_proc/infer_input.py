"""What a run scores: where the rows and their labels lie, found and checked before any work."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

import data_connector
from batch_proc.bucket_rows import IS_FRAUD, LABELLED_AT, LABELS, Labels, Layout
from batch_proc.column_names import OPTIONAL_COLUMNS
from batch_proc.history import LABELS as LABEL_TABLE
from batch_proc.history import TRANSACTIONS
from batch_proc.infer_options import InferOptions
from batch_proc.spark_source import Source, is_local, local_source, names_there, path_of
from data_connector.locations import parse
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import LABEL_COLUMNS, TRANSACTION_COLUMNS, transaction_columns

Progress = Callable[[int, int], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of the user's: files of this machine, or what is to be fetched before."""

    source: str
    table: str | None
    columns: Mapping[str, str]
    """Our column name to the table's."""
    files: Source | None
    """None: not fetched yet."""
    kinds: Mapping[str, pa.DataType]
    """The types of the columns, as far as they are known."""

    @property
    def fingerprint(self) -> Any:
        """What another table does not have in common with it; no secrets."""
        if self.files is not None and not self.files.is_copy:
            return self.files.fingerprint
        return {"source": str(parse(self.source)), "table": self.table}

    def here(self, copy: Path, progress: Progress | None = None) -> Table:
        """The same table as files of this machine, fetched once.

        Raises:
            ConnectorError: it cannot be fetched, or not be written to ``copy``.
        """
        if self.files is not None:
            return self
        if not copy.exists():
            names = list(self.columns.values())
            with data_connector.fetch(self.source, table=self.table, columns=names) as reader:
                data_connector.load(_readable(reader), copy, progress=progress)
        files = replace(local_source(copy, list(self.columns.values())), is_copy=True)
        return replace(self, files=files)


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """The transactions, what is known of them, and how their rows go through the stages."""

    transactions: Table
    labels: Table | None
    """A table of labels beside the transactions."""
    layout: Layout

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What another input does not have in common with it."""
        labels = None if self.labels is None else self.labels.fingerprint
        return {"input": self.transactions.fingerprint, "labels": labels}

    @property
    def is_here(self) -> bool:
        """Whether all of it is files of this machine."""
        tables = (self.transactions, self.labels)
        return all(table is None or table.files is not None for table in tables)

    def here(self, folder: Path, progress: Progress | None = None) -> Input:
        """The same input as files of this machine."""
        labels = self.labels
        return replace(
            self,
            transactions=self.transactions.here(folder / "transactions.parquet", progress),
            labels=None if labels is None else labels.here(folder / "labels.parquet"),
        )

    def rows(
        self, session: SparkSession, *, until: dt.datetime | None = None, with_labels: bool = True
    ) -> DataFrame:
        """The rows for the first stage, those from ``until`` on left out where Spark can tell."""
        table = self.transactions
        columns = {self.layout.column.get(ours, ours): it for ours, it in table.columns.items()}
        rows = _files(table).columns(session, columns)
        time = self.layout.column["timestamp"]
        if until is not None and has_times(rows, time):
            rows = rows.where(sf.col(time).isNull() | (sf.col(time) < sf.lit(until)))
        if self.labels is None or not with_labels:
            return rows
        identity = self.layout.column["transaction_id"]
        labels = _files(self.labels).columns(session, {**self.labels.columns})
        if LABELLED_AT not in labels.columns:
            labels = labels.withColumn(LABELLED_AT, sf.lit(None).cast("timestamp"))
        # Sorted, since an exchange brings them in any order.
        one = sf.sort_array(sf.collect_list(sf.struct(LABELLED_AT, IS_FRAUD))).alias(LABELS)
        labels = labels.withColumnRenamed("transaction_id", identity).groupBy(identity).agg(one)
        return rows.join(labels, identity, "left")


def has_times(rows: DataFrame, column: str) -> bool:
    """Whether a column holds times, rather than texts that stand for them."""
    return rows.schema[column].dataType.typeName() in ("timestamp", "timestamp_ntz", "date")


def find_input(options: InferOptions, spec: FeatureSpec, names: Mapping[str, str]) -> Input:
    """The input that the options name.

    Args:
        options: of the command.
        spec: of the features.
        names: our column name to the source's, where they differ.

    Raises:
        ConnectorError: a source is not there, or cannot be read.
        DataError: it lacks a column, or its files differ.
    """
    wanted = {name: names.get(name, name) for name in transaction_columns(spec)}
    optional = {name: names.get(name, name) for name in OPTIONAL_COLUMNS}
    transactions = _table(options.input, options.table, TRANSACTIONS, wanted, optional)
    _check_there(transactions, wanted, spec)
    labels = _find_labels(options, transactions)
    beside = labels is not None or options.labels is not None
    if beside or IS_FRAUD not in transactions.columns:
        columns = {it: theirs for it, theirs in transactions.columns.items() if it not in optional}
        transactions = replace(transactions, columns=columns)
    kind = Labels.ROW if IS_FRAUD in transactions.columns else Labels.NONE
    if labels is not None:
        _check_ids(transactions, labels)
        kind = Labels.LIST
    layout = Layout(
        spec=spec,
        labels=kind,
        label_delay=dt.timedelta(days=options.delay_days),
        source_names=names,
    )
    return Input(transactions=transactions, labels=labels, layout=layout)


def _find_labels(options: InferOptions, transactions: Table) -> Table | None:
    source, table = options.labels, options.labels_table
    if source is None:
        if IS_FRAUD in transactions.columns or is_local(options.input):
            return None
        if LABEL_TABLE not in data_connector.list_tables(options.input):
            return None
        source, table = options.input, LABEL_TABLE
    ours = {name: name for name in LABEL_COLUMNS}
    labels = _table(source, table, LABEL_TABLE, {}, ours)
    for name in ("transaction_id", IS_FRAUD):
        if name not in labels.columns:
            raise DataError(
                f"the labels in {parse(source)} have no column {name!r}; they need"
                " transaction_id and is_fraud, and may have labelled_at"
            )
    return labels


def _table(
    source: str,
    table: str | None,
    usual: str,
    wanted: Mapping[str, str],
    optional: Mapping[str, str],
) -> Table:
    """A table and those of its columns that are there."""
    columns = {**wanted, **optional}
    if is_local(source):
        files = local_source(path_of(source), list(columns.values()))
        there, schema = names_there(files), files.schema
    else:
        files = None
        table = table or (usual if usual in data_connector.list_tables(source) else None)
        schema = data_connector.schema_of(source, table=table)
        there = schema.names
    return Table(
        source=source,
        table=table,
        columns={ours: theirs for ours, theirs in columns.items() if theirs in there},
        files=files,
        kinds={name: schema.field(name).type for name in schema.names},
    )


def _check_there(table: Table, wanted: Mapping[str, str], spec: FeatureSpec) -> None:
    for name, theirs in wanted.items():
        if name in table.columns:
            continue
        mapped = "" if theirs == name else f" ({name})"
        usual = name in TRANSACTION_COLUMNS
        why = "" if usual else f", which feature {spec.reader_of(name)!r} of the model reads"
        raise DataError(
            f"missing column {theirs!r}{mapped}{why}; the transactions have:"
            f" {', '.join(table.kinds)}. Name the column with a line"
            f' {name} = "..." in the --columns file'
        )


def _check_ids(transactions: Table, labels: Table) -> None:
    kinds = [it.kinds.get(it.columns["transaction_id"]) for it in (transactions, labels)]
    whole = [kind is not None and pa.types.is_integer(kind) for kind in kinds]
    if whole[0] != whole[1]:
        raise DataError(
            f"column 'transaction_id': labels have ids of type {kinds[1]}, transactions of type"
            f" {kinds[0]}; cast one of them"
        )


def _readable(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The rows of ``reader`` in types that Spark has.

    It has no decimals of more than 38 digits, which a database's NUMERIC is that declares none.
    """
    fields = [
        field.with_type(pa.float64()) if pa.types.is_decimal256(field.type) else field
        for field in reader.schema
    ]
    return reader.cast(pa.schema(fields)) if fields != list(reader.schema) else reader


def _files(table: Table) -> Source:
    assert table.files is not None  # noqa: S101 - Input.here fetched it
    return table.files
