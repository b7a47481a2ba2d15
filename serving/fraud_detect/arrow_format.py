"""Transactions and answers as Arrow IPC streams, for callers that have tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud_detect.answers import Model
from fraud_detect.arrow_messages import is_compressed
from fraud_detect.errors import RequestError
from fraud_detect.scored_batch import ScoredBatch, rows_of
from fraud_detect.transactions import (
    BEFORE_1970,
    LONGEST_TEXT,
    MAX_AHEAD,
    MAX_TRANSACTIONS,
    Invalid,
    Request,
    check_length,
)
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import MAX_AMOUNT, MAX_NUMBER, transaction_columns

_TIME = pa.timestamp("us", tz="UTC")
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_LONGEST_BYTES = 4 * LONGEST_TEXT


class ArrowFormat:
    """Reads transactions of one spec, and writes what became of them."""

    def __init__(self, spec: FeatureSpec, *, now: Callable[[], float] = time.time) -> None:
        """Prepares to read.

        Args:
            spec: says which columns there are.
            now: seconds since 1970-01-01 UTC.
        """
        self.columns = transaction_columns(spec)
        self._numbers = spec.numbers
        self._now = now

    def read(self, body: bytes | bytearray) -> Request:
        """The request in ``body``, a stream whose schema has the columns; more are ignored.

        Raises:
            RequestError: it is no such stream, or has no transaction or too many.
        """
        table = self._table(body)
        wrong = self._errors(table)
        errors: tuple[Invalid | None, ...] = (None,) * len(wrong)
        if any(wrong):
            ids = _values(table["transaction_id"])
            errors = tuple(
                None if error is None else Invalid(name, error)
                for name, error in zip(ids, wrong, strict=True)
            )
            table = table.filter(pa.array([error is None for error in wrong]))
        return Request(
            columns={
                name: _values(
                    table["timestamp"].cast(pa.int64()) if name == "timestamp" else column
                )
                for name, column in zip(table.column_names, table.itercolumns(), strict=True)
            },
            errors=errors,
            is_single=False,
            reasons=False,
        )

    def write(self, request: Request, scored: ScoredBatch, model: Model) -> bytes:
        """The answer: ``transaction_id``, ``score``, ``decision``, ``degraded`` and ``error``.

        Args:
            request: what was asked.
            scored: its valid transactions.
            model: which one scored; its name and version are the schema's metadata.
        """
        rows = rows_of(request, scored)
        batch = pa.record_batch(
            {
                "transaction_id": pa.array(rows["transaction_id"]),
                "score": pa.array(rows["score"], pa.float32()),
                "decision": pa.array(rows["decision"], pa.string()),
                "degraded": pa.array(rows["degraded"], pa.bool_()),
                "error": pa.array(rows["error"], pa.string()),
            }
        ).replace_schema_metadata({"model": model.name, "version": str(model.version)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def _table(self, body: bytes | bytearray) -> pa.Table:
        """The columns that the spec reads, typed."""
        content = pa.py_buffer(body)
        try:
            if is_compressed(content):
                raise RequestError(400, "compressed Arrow buffers are not read: send them as is")
            with pa.ipc.open_stream(content) as reader:
                missing = [name for name in self.columns if name not in reader.schema.names]
                if missing:
                    raise RequestError(400, f"the Arrow stream lacks columns: {', '.join(missing)}")
                table = _read_some(reader)
            check_length(table.num_rows)
            table = table.select(self.columns)
            table.validate(full=True)
            return pa.table({name: self._typed(table, name) for name in self.columns})
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError(400, f"not an Arrow stream of transactions: {error}") from None

    def _typed(self, table: pa.Table, name: str) -> pa.ChunkedArray:
        column = table[name]
        kind = column.type
        if name == "timestamp":
            if pa.types.is_int64(kind):
                return column.cast(_TIME)
            if pa.types.is_timestamp(kind) and kind.tz is not None:
                return column.cast(_TIME)
            raise RequestError(400, f"column 'timestamp' must have a time zone, got {kind}")
        if name in self._numbers:
            if any(is_one(kind) for is_one in _NUMBERS):
                return column.cast(pa.float64())
            raise RequestError(400, f"column {name!r} must be numbers, got {kind}")
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_integer(kind):
            return column.cast(pa.int64())
        if any(is_one(kind) for is_one in _TEXTS):
            # Many rows may refer to one long text, and would each get a copy.
            if any(_longest(chunk) > _LONGEST_BYTES for chunk in column.chunks):
                raise RequestError(400, f"column {name!r}: text over {LONGEST_TEXT} characters")
            return column.cast(pa.string())
        if pa.types.is_boolean(kind) and name != "transaction_id":
            return column.cast(kind)
        raise RequestError(400, f"column {name!r} must be text or whole numbers, got {kind}")

    def _errors(self, table: pa.Table) -> list[str | None]:
        """What is wrong with each row."""
        errors: list[str | None] = [None] * table.num_rows
        latest = int((self._now() + MAX_AHEAD.total_seconds()) * 1e6)
        checks = [
            (pc.is_null(table[name]), f"`{name}` is null")
            for name in ("transaction_id", "timestamp", "amount")
        ]
        ids = table["transaction_id"]
        if pa.types.is_string(ids.type):
            checks.append((pc.equal(ids, ""), "`transaction_id` is empty"))
        checks += [
            (pc.greater(pc.utf8_length(table[name]), LONGEST_TEXT), f"`{name}` is too long")
            for name in self.columns
            if pa.types.is_string(table[name].type)
        ]
        for name in sorted(self._numbers - {"amount"}):
            wrong = pc.invert(pc.less_equal(pc.abs(table[name]), MAX_NUMBER))
            checks.append((wrong, f"`{name}` is not finite"))
        amount = table["amount"]
        within = pc.and_(pc.greater_equal(amount, 0), pc.less_equal(amount, MAX_AMOUNT))
        checks.append((pc.invert(within), f"`amount` must be from 0 to {MAX_AMOUNT:g}"))
        time = table["timestamp"].cast(pa.int64())
        checks.append((pc.less(time, 0), BEFORE_1970))
        ahead = pc.greater(time, latest)
        checks.append((ahead, f"`timestamp` is over {MAX_AHEAD} ahead of this service's clock"))
        for wrong, message in checks:
            if not pc.any(wrong).as_py():  # nothing, or null: nothing is known to be wrong
                continue
            for row in np.flatnonzero(wrong.fill_null(fill_value=False).to_numpy()):
                errors[row] = errors[row] or message
        return errors


def _longest(chunk: pa.Array) -> int:
    """Bytes of the longest text in ``chunk``."""
    texts = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
    if pa.types.is_string_view(texts.type):  # which has no such function
        return max((text.as_buffer().size for text in texts if text.is_valid), default=0)
    found: int | None = pc.max(pc.binary_length(texts)).as_py()
    return found or 0


def _read_some(reader: pa.RecordBatchStreamReader) -> pa.Table:
    """All batches, unless they have more rows than a request may: then enough to tell."""
    batches, n_rows = [], 0
    for batch in reader:
        batches.append(batch)
        n_rows += batch.num_rows
        if n_rows > MAX_TRANSACTIONS:
            break
    return pa.Table.from_batches(batches, reader.schema)


def _values(column: pa.ChunkedArray) -> list[Any]:
    if (
        column.null_count
        or not pa.types.is_primitive(column.type)
        or pa.types.is_boolean(column.type)
    ):
        values: list[Any] = column.to_pylist()
        return values
    plain: list[Any] = column.to_numpy().tolist()
    return plain
