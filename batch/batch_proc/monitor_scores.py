"""What was scored in the days that are watched, and what is known of it by now."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import data_connector
from batch_proc.history import LABELS
from fraud_ml.errors import DataError

DECISIONS = "decisions"  # the table of the service's log
TIME = pa.timestamp("us", tz="UTC")
_REQUIRED = ("transaction_id", "timestamp", "score")
_OPTIONAL = ("customer_id", "amount", "decision", "scored_at")
_OTHER_NAMES = {"model": "model_name", "version": "model_version"}  # ours, and another's
_DECISIONS = ("approve", "review", "decline")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which scores: of one model, on the days from ``start`` on and before ``end``, in UTC."""

    source: str
    table: str | None
    model: str
    version: int | None
    start: dt.date
    end: dt.date


def fetch_scores(wanted: Wanted) -> pa.Table:
    """The scored payments, in time order, one row a payment and version.

    Columns: ``transaction_id`` (text), ``timestamp``, ``score``, ``version`` and, where the source
    has them, ``customer_id`` (text), ``amount``, ``decision``. Of a payment that one version scored
    more than once, the last score counts.

    Raises:
        ConnectorError: the source cannot be read, or lacks a table.
        DataError: it holds no scores, or none of these days.
    """
    table = _table(wanted.source, wanted.table, DECISIONS)
    there = data_connector.schema_of(wanted.source, table=table).names
    missing = [name for name in _REQUIRED if name not in there]
    if missing:
        raise DataError(
            f"the scores lack {', '.join(missing)}; they have: {', '.join(there)}. They are rows"
            " with transaction_id, timestamp and score: the service's log of decisions, or what"
            " //batch:infer wrote"
        )
    theirs = {name: name for name in (*_REQUIRED, *_OPTIONAL) if name in there}
    for ours, other in _OTHER_NAMES.items():
        name = next((name for name in (ours, other) if name in there), None)
        if name is not None:
            theirs[ours] = name
    if "version" not in theirs and wanted.version is None:
        raise DataError(
            f"the scores have no column version; they have: {', '.join(there)}. Say with"
            " --version which version of the model they are of"
        )
    with data_connector.fetch(
        wanted.source,
        table=table,
        columns=list(theirs.values()),
        since=midnight(wanted.start),
        until=midnight(wanted.end),
    ) as reader:
        rows = reader.read_all().rename_columns(list(theirs))
    return _one_a_payment(_of_model(_typed(rows), wanted))


def _table(source: str, given: str | None, usual: str) -> str | None:
    """The table that was given, else the usual one if it is there; None: the only one."""
    return given or (usual if usual in data_connector.list_tables(source) else None)


def midnight(day: dt.date) -> dt.datetime:
    """The first instant of a day, in UTC."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def _typed(rows: pa.Table) -> pa.Table:
    for name in _REQUIRED:
        if rows[name].null_count:
            raise DataError(
                f"scores: {rows[name].null_count} rows have no {name}; fill or drop them"
            )
    kinds = {
        "transaction_id": pa.string(),
        "timestamp": TIME,
        "scored_at": TIME,
        "score": pa.float64(),
        "version": pa.int64(),
        "customer_id": pa.string(),
        "amount": pa.float64(),
    }
    for at, name in enumerate(rows.column_names):
        rows = rows.set_column(at, name, _cast(rows[name], name, kinds.get(name, pa.string())))
    score = rows["score"].to_numpy()
    bad = np.flatnonzero(~((score >= 0) & (score <= 1)))  # NaN is neither
    if len(bad):
        raise DataError(
            f"scores: a score is a probability, 0 to 1, got {score[bad[0]]} for transaction"
            f" {rows['transaction_id'][int(bad[0])].as_py()!r}, {len(bad)} such rows"
        )
    unknown = set(_values(rows, "decision")) - {*_DECISIONS, None}
    if unknown:
        raise DataError(
            f"scores: a decision is {', '.join(_DECISIONS)} or none, got"
            f" {sorted(map(str, unknown))[0]!r}"
        )
    return rows


def _cast(column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"scores: {name} must be {kind}, got {column.type}: {error}") from error


def _values(rows: pa.Table, name: str) -> list[object]:
    """Different values of a column; none where there is no such column."""
    return rows[name].unique().to_pylist() if name in rows.column_names else []


def _of_model(rows: pa.Table, wanted: Wanted) -> pa.Table:
    days = f"from {wanted.start} to {wanted.end - dt.timedelta(days=1)}"
    if not rows.num_rows:
        raise DataError(f"nothing was scored {days}; --as-of and --days say which days are watched")
    models = sorted(map(str, _values(rows, "model")))
    if models and wanted.model not in models:
        raise DataError(
            f"model {wanted.model!r} scored nothing {days}; those that did: {', '.join(models)}."
            " Choose one with --model"
        )
    if models:
        rows = rows.filter(pc.equal(rows["model"], wanted.model)).drop_columns(["model"])
    if "version" not in rows.column_names:
        versions = pa.array(np.full(rows.num_rows, wanted.version, dtype=np.int64))
        return rows.append_column("version", versions)
    if rows["version"].null_count and wanted.version is None:
        raise DataError(
            f"scores: {rows['version'].null_count} rows have no version; say with --version of"
            " which they are"
        )
    versions = rows["version"].fill_null(wanted.version or 0)
    rows = rows.set_column(rows.column_names.index("version"), "version", versions)
    if wanted.version is None:
        return rows
    known = sorted(map(str, _values(rows, "version")))
    rows = rows.filter(pc.equal(rows["version"], wanted.version))
    if not rows.num_rows:
        raise DataError(
            f"version {wanted.version} of {wanted.model!r} scored nothing {days}; those that did:"
            f" {', '.join(known)}"
        )
    return rows


def _one_a_payment(rows: pa.Table) -> pa.Table:
    """In time order; of several scores of one payment by one version, the last."""
    if "scored_at" in rows.column_names:
        rows = rows.sort_by([("scored_at", "ascending")]).drop_columns(["scored_at"])
    key = pc.binary_join_element_wise(
        rows["version"].cast(pa.string()), rows["transaction_id"], " "
    ).combine_chunks()
    codes = key.dictionary_encode().indices.to_numpy()
    last = np.full(int(codes.max()) + 1, -1, dtype=np.int64)
    last[codes] = np.arange(len(codes))  # of equal codes, the last stays
    rows = rows.take(np.sort(last))
    return rows.sort_by([("timestamp", "ascending"), ("transaction_id", "ascending")])


def fetch_labels(source: str, table: str | None) -> pa.Table:
    """All labels: ``transaction_id`` (text), ``is_fraud``, ``labelled_at`` (null: not told).

    Labels without a verdict are left out; a payment may have several.

    Raises:
        ConnectorError: the source cannot be read, or lacks a table.
        DataError: it holds no labels.
    """
    table = _table(source, table, LABELS)
    there = data_connector.schema_of(source, table=table).names
    missing = [name for name in ("transaction_id", "is_fraud") if name not in there]
    if missing:
        raise DataError(f"the labels lack {', '.join(missing)}; they have: {', '.join(there)}")
    columns = ["transaction_id", "is_fraud", *(["labelled_at"] if "labelled_at" in there else [])]
    with data_connector.fetch(source, table=table, columns=columns) as reader:
        rows = reader.read_all()
    rows = rows.filter(pc.is_valid(rows["is_fraud"]))
    if rows["transaction_id"].null_count:
        raise DataError("labels: a row has no transaction_id; fill or drop it")
    times = pa.nulls(rows.num_rows, TIME)
    if "labelled_at" in there:
        times = _label_cast(rows["labelled_at"], "labelled_at", TIME)
    return pa.table(
        {
            "transaction_id": _label_cast(rows["transaction_id"], "transaction_id", pa.string()),
            "is_fraud": _flags(rows["is_fraud"]),
            "labelled_at": times,
        }
    )


def _flags(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_boolean(column.type):
        numbers = pa.types.is_integer(column.type)
        odd = [value for value in column.unique().to_pylist() if not numbers or value not in (0, 1)]
        if odd:
            raise DataError(f"labels: is_fraud must be true/false or 0/1, got {odd[0]!r}")
    return column.cast(pa.bool_())


def _label_cast(column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type) and pa.types.is_timestamp(kind):
        raise DataError(f"labels: {name} must be times, got {column.type}; convert the column")
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"labels: {name} must be {kind}, got {column.type}: {error}") from error


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of N payments: shape ``(N,)`` each."""

    is_labelled: npt.NDArray[np.bool_]
    is_fraud: npt.NDArray[np.bool_]
    """False where nothing is known."""


def truth_of(
    scores: pa.Table, labels: pa.Table, *, as_of: dt.datetime, label_delay: dt.timedelta
) -> Truth:
    """What the labels that are known by ``as_of`` say of each scored payment; the newest counts.

    Args:
        scores: N rows with ``transaction_id`` and ``timestamp``.
        labels: what :func:`fetch_labels` returned.
        as_of: labels from after it are not known yet.
        label_delay: from a payment to its label, where ``labelled_at`` is not told.
    """
    row = pc.index_in(labels["transaction_id"], value_set=scores["transaction_id"])
    ours = pc.is_valid(row)
    labels, row = labels.filter(ours), row.filter(ours)
    usual = pc.add(scores["timestamp"].take(row), pa.scalar(label_delay, pa.duration("us")))
    known_at = pc.coalesce(labels["labelled_at"], usual).cast(pa.int64()).to_numpy()
    known = known_at <= pa.scalar(as_of, TIME).cast(pa.int64()).as_py()
    order = np.argsort(known_at[known], kind="stable")
    rows = row.to_numpy()[known][order]
    verdicts = labels["is_fraud"].to_numpy()[known][order]
    is_labelled = np.zeros(scores.num_rows, dtype=bool)
    is_fraud = np.zeros(scores.num_rows, dtype=bool)
    is_labelled[rows] = True
    is_fraud[rows] = verdicts  # of several for one payment, the last stays
    return Truth(is_labelled, is_fraud)
