"""The rows of a bucket on their way from stage to stage: checked once, then with more features.

A feature may be called as a column is, so between stages all have names of ours: ``c0``, ``c1``,
... for the transactions' columns, ``f0``, ``f1``, ... for features, and those of :class:`Labels`
for what is known of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
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
    MAX_NUMBER,
    TRANSACTION_COLUMNS,
    label_schema,
    normalise_labels,
    normalise_transactions,
    transaction_columns,
)

Span = tuple[int | None, int | None]
"""Of times in microseconds, from the first until before the second; None: without end."""

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
            raw: as it came from the source, under our names; at least one row.

        Raises:
            DataError: the rows are no transactions, or the labels not theirs.
        """
        transactions = normalise_transactions(raw, self.spec, source_names=self.source_names)
        rows = self.to_stored(transactions)
        if self.labels is Labels.ROW:
            labels = normalise_labels(
                raw,
                transactions,
                label_delay=self.label_delay,
                source_names=self.source_names,
            )
            rows = rows.append_column(IS_FRAUD, labels.column("is_fraud"))
            rows = rows.append_column(LABELLED_AT, labels.column("labelled_at"))
        return rows

    def in_order(self, rows: pa.Table) -> pa.Table:
        """``rows`` sorted by time and id; fast where they consist of sorted runs."""
        rows = rows.combine_chunks()
        times = rows.column(self.column["timestamp"]).cast(pa.int64()).to_numpy()
        order = np.argsort(times, kind="stable")
        same = np.diff(times[order]) == 0
        tied = np.flatnonzero(np.append(same, False) | np.append(False, same)[: len(order)])
        if len(tied):
            of = order[tied]
            ids = rows.column(self.column["transaction_id"]).take(of)
            keys = [("time", "ascending"), ("id", "ascending")]
            by_id = pc.sort_indices(pa.table({"time": times[of], "id": ids}), sort_keys=keys)
            order[tied] = of[by_id.to_numpy()]
        return rows.take(order)

    def with_label_table(self, rows: pa.Table, labels: pa.Table | None) -> pa.Table:
        """``rows`` with all that a table of labels says of them.

        Args:
            rows: checked.
            labels: ``transaction_id``, ``is_fraud`` and, perhaps, ``labelled_at``, as they came
                from their source, in any order, also of other transactions; None: there are none.

        Raises:
            DataError: the labels are none.
        """
        kind = label_schema(transaction_id=rows.column(self.column["transaction_id"]).type)
        if labels is None:
            labels = kind.empty_table()
        transactions = self.transactions(rows)
        ids = labels.column("transaction_id").cast(kind.field("transaction_id").type)
        labels = labels.set_column(0, "transaction_id", ids)
        found = pc.index_in(ids, value_set=transactions.column("transaction_id"))
        known = np.flatnonzero(found.is_valid().to_numpy())
        row = found.take(known).to_numpy().astype(np.int64)
        order = np.argsort(row, kind="stable")
        row, known = row[order], known[order]
        number = np.arange(len(row)) - np.searchsorted(row, row)
        parts = []
        for one in range(int(number.max(initial=-1)) + 1):
            of, at = row[number == one], known[number == one]
            there = normalise_labels(
                labels.take(at), transactions.take(of), label_delay=self.label_delay
            )
            says = np.flatnonzero(there.column(IS_FRAUD).is_valid().to_numpy())
            parts.append((of[says], there.take(says)))
        newest, lists = _by_row(parts, rows.num_rows)
        return rows.append_column(IS_FRAUD, newest).append_column(LABELS, lists)

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
        given = {}
        for name in sorted(stage.given):
            given[name] = _unused(self.feature[name], transactions.column_names)
            # What is too large for a model is above any bound, and no column may have it.
            values = rows.column(self.feature[name]).to_numpy().clip(-MAX_NUMBER, MAX_NUMBER)
            transactions = transactions.append_column(given[name], pa.array(values))
        features = compute_features(transactions, labels, stage.spec(self.spec, given))
        for name in (feature.name for feature in stage.features):
            rows = rows.append_column(self.feature[name], features.column(name).cast(pa.float32()))
        return rows

    def matrix(self, rows: pa.Table) -> npt.NDArray[np.float32]:
        """All features of ``rows`` in the model's order: shape ``(N, F)``."""
        matrix = np.empty((rows.num_rows, len(self.feature)), dtype=np.float32)
        for at, stored in enumerate(self.feature.values()):
            matrix[:, at] = rows.column(stored).to_numpy()
        return matrix

    def needed(
        self, rows: pa.Table, later: Iterable[KeyStage], *, also: Collection[str] = ()
    ) -> pa.Table:
        """``rows`` without what the stages after this one do not need.

        Args:
            rows: between stages.
            later: the stages to come.
            also: which columns to keep besides.
        """
        later = tuple(later)
        columns = set(TRANSACTION_COLUMNS).union(*(stage.columns for stage in later))
        wanted = {self.column[name] for name in columns}
        wanted |= {IS_FRAUD, *self.feature.values(), *also}
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


def within(rows: pa.Table, column: str, span: Span) -> pa.Table:
    """Those of ``rows``, sorted by the times in a column, that lie in ``span``."""
    if span == (None, None):
        return rows
    times = rows.column(column).cast(pa.int64()).to_numpy()
    start, stop = (
        default if end is None else int(np.searchsorted(times, end))
        for end, default in zip(span, (0, len(times)), strict=True)
    )
    return rows.slice(start, max(stop - start, 0))


def _unused(name: str, taken: Collection[str]) -> str:
    """``name``, or one like it that is not taken."""
    while name in taken:
        name += "_"
    return name


def _by_row(
    labels: list[tuple[npt.NDArray[np.int64], pa.Table]], n_rows: int
) -> tuple[pa.Array, pa.Array]:
    """Of each row its newest label, and all of them, by time."""
    row = np.concatenate([np.empty(0, dtype=np.int64), *(rows for rows, _ in labels)])
    kind = label_schema(transaction_id=pa.int64())
    flags = pa.chunked_array(
        [chunk for _, it in labels for chunk in it.column(IS_FRAUD).chunks], pa.bool_()
    )
    times = pa.chunked_array(
        [chunk for _, it in labels for chunk in it.column(LABELLED_AT).chunks],
        kind.field(LABELLED_AT).type,
    )
    fraud, at = flags.to_numpy(), times.cast(pa.int64()).to_numpy()
    # Of two labels with the same time, that of fraud comes last, and so counts.
    order = np.lexsort((fraud, at, row))
    row, fraud, at = row[order], fraud[order].astype(bool), at[order]
    ends = np.searchsorted(row, np.arange(n_rows + 1))
    values = pa.StructArray.from_arrays(
        [pa.array(fraud), pa.array(at).cast(times.type)], names=[IS_FRAUD, LABELLED_AT]
    )
    lists = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), values)
    there = ends[1:] > ends[:-1]
    last = np.where(there, ends[1:] - 1, 0)
    newest = fraud[last] if len(fraud) else np.zeros(n_rows, dtype=bool)
    return pa.array(newest, mask=~there), lists
