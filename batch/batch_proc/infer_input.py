"""What a run scores: where the rows and their labels lie, found and checked before any work."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

import data_connector
from batch_proc.bucket_rows import IS_FRAUD, Labels, Layout
from batch_proc.column_names import OPTIONAL_COLUMNS
from batch_proc.history import LABELS as LABEL_TABLE
from batch_proc.history import TRANSACTIONS
from batch_proc.raw_rows import RawRows
from batch_proc.source_files import Source, is_local, local_source, names_there, path_of
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
    def read_from(self) -> Source:
        """Its files, once it is here."""
        assert self.files is not None  # noqa: S101 - Input.here fetched it
        return self.files

    def raw(self, source_names: Mapping[str, str]) -> RawRows:
        """Its rows, once it is here."""
        return RawRows(files=self.read_from, columns=self.columns, source_names=source_names)

    @property
    def fingerprint(self) -> Any:
        """What another table does not have in common with it; no secrets."""
        if self.files is not None and not self.files.is_copy:
            return self.files.fingerprint
        return {"source": str(parse(self.source)), "table": self.table}

    def here(self, copy: Path, progress: Progress | None = None) -> Table:
        """The same table as Parquet files of this machine, fetched once.

        Args:
            copy: where it goes, without a suffix.
            progress: is told of what is fetched.

        Raises:
            ConnectorError: it cannot be fetched, or not be written to ``copy``.
            DataError: a value of CSV is not of its column's type.
        """
        names = list(self.columns.values())
        if self.files is not None:
            return replace(self, files=self.files.readable(copy, names))
        file = copy.with_suffix(".parquet")
        if not file.exists():
            with data_connector.fetch(self.source, table=self.table, columns=names) as reader:
                data_connector.load(reader, file, progress=progress)
        return replace(self, files=replace(local_source(file, names), is_copy=True))


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
        """Whether tasks can read all of it as it is."""
        tables = [it for it in (self.transactions, self.labels) if it is not None]
        return all(it.files is not None and it.files.is_readable for it in tables)

    def here(self, folder: Path, progress: Progress | None = None) -> Input:
        """The same input as Parquet files of this machine."""
        labels = self.labels
        return replace(
            self,
            transactions=self.transactions.here(folder / "transactions", progress),
            labels=None if labels is None else labels.here(folder / "labels"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where transactions and labels are."""

    transactions: str
    """A path or a URL."""
    table: str | None = None
    labels: str | None = None
    """A path or a URL; None: the rows have them, or the database's table `labels`, or nobody."""
    labels_table: str | None = None
    delay_days: int
    """From a transaction to its label, where no `labelled_at` says when."""


def find_input(sources: Sources, spec: FeatureSpec, names: Mapping[str, str]) -> Input:
    """The input, checked as far as that takes no reading of rows.

    Args:
        sources: where it is.
        spec: of the features.
        names: our column name to the source's, where they differ.

    Raises:
        ConnectorError: a source is not there, or cannot be read.
        DataError: it lacks a column, or its files differ.
    """
    wanted = {name: names.get(name, name) for name in transaction_columns(spec)}
    optional = {name: names.get(name, name) for name in OPTIONAL_COLUMNS}
    transactions = _table(sources.transactions, sources.table, TRANSACTIONS, wanted, optional)
    _check_there(transactions, wanted, spec)
    labels = _find_labels(sources, transactions)
    beside = labels is not None or sources.labels is not None
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
        label_delay=dt.timedelta(days=sources.delay_days),
        source_names=names,
    )
    return Input(transactions=transactions, labels=labels, layout=layout)


def _find_labels(sources: Sources, transactions: Table) -> Table | None:
    source, table = sources.labels, sources.labels_table
    if source is None:
        if IS_FRAUD in transactions.columns or is_local(sources.transactions):
            return None
        if LABEL_TABLE not in data_connector.list_tables(sources.transactions):
            return None
        source, table = sources.transactions, LABEL_TABLE
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
