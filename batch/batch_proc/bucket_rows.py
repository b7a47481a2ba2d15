"""The rows of a bucket on their way from stage to stage: checked once, then with more features.

Spark tells columns apart by names in which dots and backticks mean something, so between stages
all have names of ours: ``c0``, ``c1``, ... for the transactions' columns, ``f0``, ``f1``, ... for
features, and those of :class:`Labels` for what is known of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batch_proc.key_stages import KeyStage
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.features import compute_features
from fraud_ml.transactions import (
    TRANSACTION_COLUMNS,
    label_schema,
    normalise_labels,
    normalise_transactions,
    transaction_columns,
)

IS_FRAUD, LABELLED_AT, LABELS = "is_fraud", "labelled_at", "labels"


class Labels(StrEnum):
    """How what is known of transactions comes with them."""

    NONE = "none"
    ROW = "row"
    """One label each: columns ``is_fraud`` and, perhaps, ``labelled_at``."""
    LIST = "list"
    """Any number each: a column ``labels`` of such pairs."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the rows of all buckets are made of."""

    spec: FeatureSpec
    """Of all features."""
    labels: Labels
    label_delay: dt.timedelta
    """From a transaction to its label, where no ``labelled_at`` says when."""
    source_names: Mapping[str, str] = field(default_factory=dict)
    """Our column name to the user's, for error messages."""

    @cached_property
    def column(self) -> dict[str, str]:
        """What a transaction's column is called between stages."""
        return {name: f"c{at}" for at, name in enumerate(transaction_columns(self.spec))}

    @cached_property
    def feature(self) -> dict[str, str]:
        """What a feature is called between stages."""
        return {name: f"f{at}" for at, name in enumerate(self.spec.names)}

    def checked(self, raw: pa.Table) -> pa.Table:
        """The rows of ``raw``, sorted by time and id, with our types and what is known of them.

        Args:
            raw: as it came from the source, with the names between stages; at least one row.

        Raises:
            DataError: the rows are no transactions, or the labels not theirs.
        """
        ours = raw.select(list(self.column.values())).rename_columns(list(self.column))
        for name in (IS_FRAUD, LABELLED_AT):
            if name in raw.column_names:
                ours = ours.append_column(name, raw.column(name))
        transactions = normalise_transactions(ours, self.spec, source_names=self.source_names)
        rows = self.to_stored(transactions)
        if self.labels is Labels.ROW:
            labels = normalise_labels(
                ours,
                transactions,
                label_delay=self.label_delay,
                source_names=self.source_names,
            )
            rows = rows.append_column(IS_FRAUD, labels.column("is_fraud"))
            rows = rows.append_column(LABELLED_AT, labels.column("labelled_at"))
        if self.labels is Labels.LIST:
            ids = ours.column("transaction_id")
            newest, lists = self._listed(ids, raw.column(LABELS).combine_chunks(), transactions)
            rows = rows.append_column(IS_FRAUD, newest).append_column(LABELS, lists)
        return rows

    def to_stored(self, transactions: pa.Table) -> pa.Table:
        """Transactions under their names between stages."""
        return transactions.rename_columns(
            [self.column[name] for name in transactions.column_names]
        )

    def transactions(self, rows: pa.Table) -> pa.Table:
        """The transactions in ``rows``, those of their columns that are left."""
        names = {stored: name for name, stored in self.column.items()}
        there = [stored for stored in rows.column_names if stored in names]
        return rows.select(there).rename_columns([names[stored] for stored in there])

    def with_features(self, rows: pa.Table, stage: KeyStage) -> pa.Table:
        """``rows`` with the features of ``stage`` as a model takes them: float32."""
        if not stage.features:
            return rows
        transactions = self.transactions(rows)
        labels = self._labels(rows, transactions, needed=stage.reads_labels)
        features = compute_features(transactions, labels, stage.spec(self.spec))
        for name in features.column_names:
            rows = rows.append_column(self.feature[name], features.column(name).cast(pa.float32()))
        return rows

    def matrix(self, rows: pa.Table) -> npt.NDArray[np.float32]:
        """All features of ``rows`` in the model's order: shape ``(N, F)``."""
        matrix = np.empty((rows.num_rows, len(self.feature)), dtype=np.float32)
        for at, stored in enumerate(self.feature.values()):
            matrix[:, at] = rows.column(stored).to_numpy()
        return matrix

    def needed(self, rows: pa.Table, later: Iterable[KeyStage]) -> pa.Table:
        """``rows`` without what neither the stages after this one need nor the output."""
        later = tuple(later)
        columns = set(TRANSACTION_COLUMNS).union(*(stage.columns for stage in later))
        wanted = {self.column[name] for name in columns} | {IS_FRAUD, *self.feature.values()}
        if any(stage.reads_labels for stage in later):
            wanted |= {LABELLED_AT, LABELS}
        return rows.select([name for name in rows.column_names if name in wanted])

    def _labels(self, rows: pa.Table, transactions: pa.Table, *, needed: bool) -> pa.Table:
        ids = transactions.column("transaction_id")
        schema = label_schema(transaction_id=ids.type)
        if self.labels is Labels.NONE or not needed:
            return schema.empty_table()
        if self.labels is Labels.ROW:
            return pa.table([ids, rows.column(IS_FRAUD), rows.column(LABELLED_AT)], schema=schema)
        lists = rows.column(LABELS).combine_chunks()
        of, flat = pc.list_parent_indices(lists), pc.list_flatten(lists)
        return pa.table(
            [ids.take(of), flat.field(IS_FRAUD), flat.field(LABELLED_AT)], schema=schema
        )

    def _listed(
        self, ids: pa.ChunkedArray, lists: pa.Array, transactions: pa.Table
    ) -> tuple[pa.Array, pa.Array]:
        """Of each transaction its newest label, and all of them, by time."""
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        row, is_fraud, labelled_at = [], [], []
        for number in range(int(lengths.max(initial=0))):
            have = np.flatnonzero(lengths > number)
            one = pc.list_element(lists.take(have), number)
            table = pa.table(
                {
                    "transaction_id": ids.take(have),
                    IS_FRAUD: one.field(IS_FRAUD),
                    LABELLED_AT: one.field(LABELLED_AT),
                }
            )
            labels = normalise_labels(table, transactions, label_delay=self.label_delay)
            known = np.flatnonzero(labels.column(IS_FRAUD).is_valid().to_numpy())
            row.append(known)
            is_fraud.append(labels.column(IS_FRAUD).take(known).to_numpy())
            labelled_at.append(labels.column(LABELLED_AT).take(known).cast(pa.int64()).to_numpy())
        return _by_row(row, is_fraud, labelled_at, transactions.num_rows)


def _by_row(
    rows: list[npt.NDArray[np.int64]],
    is_fraud: list[npt.NDArray[np.bool_]],
    labelled_at: list[npt.NDArray[np.int64]],
    n_rows: int,
) -> tuple[pa.Array, pa.Array]:
    empty = np.empty(0, dtype=np.int64)
    row = np.concatenate([empty, *rows]).astype(np.int64)
    fraud = np.concatenate([empty.astype(bool), *is_fraud])
    at = np.concatenate([empty, *labelled_at]).astype(np.int64)
    # Of two labels with the same time, that of fraud comes last, and so counts.
    order = np.lexsort((fraud, at, row))
    row, fraud, at = row[order], fraud[order], at[order]
    ends = np.searchsorted(row, np.arange(n_rows + 1))
    kind = label_schema(transaction_id=pa.int64()).field("labelled_at").type
    values = pa.StructArray.from_arrays(
        [pa.array(fraud), pa.array(at).cast(kind)], names=[IS_FRAUD, LABELLED_AT]
    )
    lists = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), values)
    there = ends[1:] > ends[:-1]
    last = np.where(there, ends[1:] - 1, 0)
    newest = fraud[last] if len(fraud) else np.zeros(n_rows, dtype=bool)
    return pa.array(newest, mask=~there), lists
