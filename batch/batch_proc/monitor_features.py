"""The features of scored payments, computed again from all payments, as the service had them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import data_connector
from batch_proc.column_names import read_column_names
from batch_proc.history import TRANSACTIONS, check_columns
from batch_proc.monitor_options import MonitorOptions
from batch_proc.monitor_scores import TIME
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.transactions import normalise_transactions, transaction_columns


@dataclass(frozen=True, kw_only=True, slots=True)
class Payments:
    """All payments until now, N of them, and the features of one spec."""

    transactions: pa.Table
    """With ``transaction_id`` as text, in time order."""
    features: npt.NDArray[np.float32]
    """Shape ``(N, F)``."""

    def rows_of(self, transaction_id: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """The number of each payment, -1 where it is not among them."""
        there = self.transactions["transaction_id"]
        rows = pc.index_in(transaction_id, value_set=there).fill_null(-1)
        numbers: npt.NDArray[np.int64] = rows.to_numpy().astype(np.int64)
        return numbers


def fetch_payments(options: MonitorOptions, spec: FeatureSpec, labels: pa.Table) -> Payments:
    """The payments that the options name, up to their ``as_of``, with their features.

    Args:
        options: say where they are.
        spec: of the features.
        labels: what :func:`~batch_proc.monitor_scores.fetch_labels` returned.

    Raises:
        ConnectorError: the source cannot be read, or lacks a table or column.
        DataError: its contents are no transactions.
        UsageError: the file of column names does not fit.
    """
    source = str(options.transactions)
    names = read_column_names(options.columns, spec) if options.columns else {}
    tables = data_connector.list_tables(source)
    table = options.table or (TRANSACTIONS if TRANSACTIONS in tables else None)
    check_columns(spec, names, data_connector.schema_of(source, table=table).names)
    columns = list(transaction_columns(spec))
    theirs = [names.get(name, name) for name in columns]
    with data_connector.fetch(source, table=table, columns=theirs) as reader:
        rows = reader.read_all().rename_columns(columns)
    transactions = normalise_transactions(rows, spec, source_names=names)
    transactions = transactions.filter(
        pc.less(transactions["timestamp"], pa.scalar(options.as_of, TIME))
    )
    at = transactions.column_names.index("transaction_id")
    ids = transactions["transaction_id"].cast(pa.string())
    transactions = transactions.set_column(at, "transaction_id", ids)
    known = _known(transactions, labels, dt.timedelta(days=options.delay_days))
    features = feature_matrix(compute_features(transactions, known, spec))
    return Payments(transactions=transactions, features=features)


def _known(transactions: pa.Table, labels: pa.Table, label_delay: dt.timedelta) -> pa.Table:
    """The labels of these transactions, with the time at which each was known."""
    row = pc.index_in(labels["transaction_id"], value_set=transactions["transaction_id"])
    labels, row = labels.filter(pc.is_valid(row)), row.filter(pc.is_valid(row))
    usual = pc.add(transactions["timestamp"].take(row), pa.scalar(label_delay, pa.duration("us")))
    known_at = pc.coalesce(labels["labelled_at"], usual)
    return labels.set_column(labels.column_names.index("labelled_at"), "labelled_at", known_at)
