"""Transactions and labels as Arrow tables, checked and typed once, at the door.

Every other module takes what the two functions here return and checks nothing again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml import _columns
from fraud_ml._columns import MAX_AMOUNT, MAX_NUMBER
from fraud_ml.default_specs import DEFAULT_LABEL_DELAY, DEFAULT_SPEC
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec

__all__ = [
    "LABEL_COLUMNS",
    "MAX_AMOUNT",
    "MAX_NUMBER",
    "TRANSACTION_COLUMNS",
    "known_labels",
    "label_schema",
    "normalise_labels",
    "normalise_times",
    "normalise_transactions",
    "transaction_columns",
    "transaction_schema",
]

TRANSACTION_COLUMNS = ("transaction_id", "timestamp", "customer_id", "amount")
"""What every transaction has; a spec may read more."""
LABEL_COLUMNS = ("transaction_id", "is_fraud", "labelled_at")


def transaction_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """The columns of transactions whose features ``spec`` says, in our order: the amount last."""
    *ids, amount = TRANSACTION_COLUMNS
    return (*ids, *(c for c in spec.columns if c not in TRANSACTION_COLUMNS), amount)


def transaction_schema(**types: pa.DataType) -> pa.Schema:
    """The schema of transactions: a type for each column but ``timestamp`` and ``amount``.

    They keep their order and start with ``transaction_id``. Only :data:`TRANSACTION_COLUMNS` are
    never null.
    """
    (first, first_type), *others = types.items()
    ordered = {first: first_type, "timestamp": _columns.TIMESTAMP, **dict(others)}
    ordered["amount"] = pa.float64()
    return pa.schema(
        [
            pa.field(name, kind, nullable=name not in TRANSACTION_COLUMNS)
            for name, kind in ordered.items()
        ]
    )


def label_schema(*, transaction_id: pa.DataType) -> pa.Schema:
    """The schema of labels; a null ``is_fraud`` or ``labelled_at`` means not known."""
    return pa.schema(
        [
            pa.field("transaction_id", transaction_id, nullable=False),
            pa.field("is_fraud", pa.bool_()),
            pa.field("labelled_at", _columns.TIMESTAMP),
        ]
    )


def normalise_transactions(
    table: pa.Table,
    spec: FeatureSpec = DEFAULT_SPEC,
    *,
    source_names: Mapping[str, str] | None = None,
) -> pa.Table:
    """The transactions of ``table``, valid, in our types, sorted by (timestamp, transaction_id).

    Ids may be text or whole numbers of any width, amounts any numbers, timestamps with any zone
    (without one: UTC), dates or ISO 8601 text. Amounts stay in the user's currency.

    The columns are :func:`transaction_columns`, others are left out. Of those that only the spec
    reads, numbers become ``float64``, keys and categories ``string``, ``int64`` or ``bool``;
    all may be null: a key's null means that the transaction has no such history.

    Args:
        table: columns under our names, rows in any order.
        spec: whose columns to keep.
        source_names: our column name to the user's, for error messages.

    Raises:
        DataError: a column is missing or of the wrong type, a value of
            :data:`TRANSACTION_COLUMNS` is null, an amount is negative or not finite, a number is
            infinite, an id occurs twice, a time cannot be understood, or there is no row. Rows
            are numbered from 0 in the order of ``table``.
    """
    source = _columns.Source(table=table, names=source_names or {})
    names = transaction_columns(spec)
    for name in names:  # a missing column is the first thing to say
        source.column(name, reader=None if name in TRANSACTION_COLUMNS else spec.reader_of(name))
    if table.num_rows == 0:
        raise DataError("there are no transactions: the table has columns but no rows")
    columns = {name: _typed(source, name, spec) for name in names}
    _check_unique(source, columns["transaction_id"])
    types = {name: c.type for name, c in columns.items() if name not in ("timestamp", "amount")}
    typed = pa.table(columns, schema=transaction_schema(**types))
    return typed.sort_by([("timestamp", "ascending"), ("transaction_id", "ascending")])


def _typed(source: _columns.Source, name: str, spec: FeatureSpec) -> pa.ChunkedArray:
    if name in ("transaction_id", "customer_id"):
        return _columns.identifiers(source, name)
    if name == "timestamp":
        source.without_nulls(name)
        return _columns.timestamps(source, name)
    if name == "amount":
        return _columns.amounts(source, name)
    if name in spec.numbers:
        return _columns.numbers(source, name)
    return _columns.categories(source, name)


def normalise_times(
    table: pa.Table, *, source_names: Mapping[str, str] | None = None
) -> pa.ChunkedArray:
    """The column ``timestamp`` of ``table`` as :func:`normalise_transactions` types it.

    Args:
        table: columns under our names, this one among them; its nulls are kept.
        source_names: our column name to the user's, for error messages.

    Raises:
        DataError: it is of the wrong type, or one of its times cannot be understood.
    """
    return _columns.timestamps(_columns.Source(table=table, names=source_names or {}), "timestamp")


def normalise_labels(
    table: pa.Table,
    transactions: pa.Table,
    *,
    label_delay: dt.timedelta = DEFAULT_LABEL_DELAY,
    source_names: Mapping[str, str] | None = None,
) -> pa.Table:
    """The labels of ``table`` with :func:`label_schema`, one row per row of ``transactions``.

    ``table`` may be the transactions' own table with an ``is_fraud`` column, or a table of labels
    that covers only some of them, in any order. A transaction without a label gets nulls: not
    known. A label without ``labelled_at`` counts as found ``label_delay`` after the transaction.

    Args:
        table: columns ``transaction_id``, ``is_fraud`` (boolean, or 0 and 1; null: not known)
            and, if there is one, ``labelled_at``. Other columns are ignored.
        transactions: what :func:`normalise_transactions` returned.
        label_delay: time from a transaction to its label, where ``labelled_at`` does not say.
        source_names: our column name to the user's, for error messages.

    Raises:
        DataError: a column is missing or of the wrong type, an id occurs twice or is no
            transaction's, or a label is older than its transaction.
    """
    source = _columns.Source(table=table, names=source_names or {})
    ids = _columns.identifiers(source, "transaction_id")
    is_fraud = _columns.flags(source, "is_fraud")
    known_ids = transactions.column("transaction_id")
    row_of = _same_ids(ids, known_ids)  # of each transaction, its row in `table`
    if row_of is None:
        _check_unique(source, ids)
        _check_known(source, ids, known_ids)
        row_of = pc.index_in(known_ids, value_set=ids)
    is_fraud = is_fraud.take(row_of)
    timestamp = transactions.column("timestamp")
    labelled_at = pc.add(timestamp, pa.scalar(label_delay, pa.duration("us")))
    if "labelled_at" in table.column_names:
        given = _columns.timestamps(source, "labelled_at").take(row_of)
        early = pc.index(pc.less(given, timestamp), True).as_py()
        if early >= 0:
            raise DataError(
                f"{source.label('labelled_at')}: {given[early].as_py()} is before its transaction"
                f" ({timestamp[early].as_py()}), {source.row(row_of[early].as_py())}"
            )
        labelled_at = pc.coalesce(given, labelled_at)
    labelled_at = pc.if_else(pc.is_valid(is_fraud), labelled_at, pa.scalar(None, labelled_at.type))
    return pa.table(
        [known_ids, is_fraud, labelled_at], schema=label_schema(transaction_id=known_ids.type)
    )


def known_labels(table: pa.Table, *, source_names: Mapping[str, str] | None = None) -> pa.Table:
    """The labels of ``table`` that are known, in order of ``labelled_at``, without transactions.

    An id may occur twice, corrected, and need be no transaction's.

    Args:
        table: columns ``transaction_id``, ``is_fraud`` (boolean, or 0 and 1) and ``labelled_at``;
            where one of the last two is null, nothing is known. Other columns are ignored.
        source_names: our column name to the user's, for error messages.

    Returns:
        A table with :func:`label_schema`, without nulls.

    Raises:
        DataError: a column is missing or of the wrong type.
    """
    source = _columns.Source(table=table, names=source_names or {})
    ids = _columns.identifiers(source, "transaction_id")
    frauds = _columns.flags(source, "is_fraud")
    times = _columns.timestamps(source, "labelled_at")
    labels = pa.table([ids, frauds, times], schema=label_schema(transaction_id=ids.type))
    known = pc.and_(pc.is_valid(frauds), pc.is_valid(times))
    return labels.filter(known).sort_by([("labelled_at", "ascending")])


def _same_ids(ids: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.Array | None:
    """Of each of ``known`` its row in ``ids``, where both are the same whole numbers, each once.

    None where they are not. That is the usual case of labels in the transactions' own table, and
    sorting what is nearly sorted takes a fifth of the time of looking each up.
    """
    if len(ids) != len(known) or not ids.type == known.type == pa.int64():
        return None
    values, theirs = ids.to_numpy(), known.to_numpy()
    order, their_order = (np.argsort(it, kind="stable") for it in (values, theirs))
    ascending = values[order]
    if (np.diff(ascending) == 0).any() or not np.array_equal(ascending, theirs[their_order]):
        return None
    row_of = np.empty_like(order)
    row_of[their_order] = order
    return pa.array(row_of)


def _is_unique(ids: pa.ChunkedArray) -> bool:
    if ids.type == pa.int64():
        return not (np.diff(np.sort(ids.to_numpy(), kind="stable")) == 0).any()
    return bool(pc.count_distinct(ids).as_py() == len(ids))


def _check_unique(source: _columns.Source, ids: pa.ChunkedArray) -> None:
    if _is_unique(ids):
        return
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    first_row = np.unique(codes, return_index=True)[1]
    repeats = first_row[codes] != np.arange(len(codes))
    again = int(repeats.argmax())
    raise DataError(
        f"{source.label('transaction_id')}: {ids[again].as_py()!r} occurs in row"
        f" {first_row[codes[again]]} and again in row {again} (the first is 0),"
        f" {int(repeats.sum())} such repeats; drop the repeats or make the ids unique"
    )


def _check_known(source: _columns.Source, ids: pa.ChunkedArray, known: pa.ChunkedArray) -> None:
    if ids.type != known.type:
        raise DataError(
            f"{source.label('transaction_id')}: labels have ids of type {ids.type}, transactions"
            f" of type {known.type}; cast one of them"
        )
    unknown = pc.invert(pc.is_in(ids, value_set=known))
    row = pc.index(unknown, True).as_py()
    if row >= 0:
        raise DataError(
            f"{source.label('transaction_id')}: {ids[row].as_py()!r} (row {row}, the first is 0)"
            f" is no transaction's, {pc.sum(unknown).as_py()} such labels; load the missing"
            " transactions or drop these labels"
        )
