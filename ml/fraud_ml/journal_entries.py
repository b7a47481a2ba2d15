"""What the journal says: transactions, and labels, in the order in which they count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from fraud_ml._columns import Source, flags
from fraud_ml.errors import DataError
from fraud_ml.transactions import LABEL_COLUMNS

_AT_ONCE = 10_000  # labels in one entry, while payments wait some milliseconds


class Transactions(msgspec.Struct, tag="transactions", frozen=True, gc=False):
    """A micro-batch of transactions that was accepted."""

    columns: dict[str, Sequence[Any]]
    """As :meth:`fraud_ml.feature_state.FeatureState.update` takes them."""


class Labels(msgspec.Struct, tag="labels", frozen=True, gc=False):
    """What investigators found, N of them."""

    transaction_id: Sequence[Any]
    is_fraud: Sequence[bool | None]
    labelled_at: Sequence[int | None]
    """Microseconds since 1970-01-01 UTC."""


Entry = Transactions | Labels

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """``entry`` as the journal keeps it."""
    return _encoder.encode(entry)


def decode(value: bytes) -> Entry:
    """What :func:`encode` was given.

    Raises:
        ValueError: ``value`` is none of its results.
    """
    entry: Entry = _decoder.decode(value)
    return entry


def label_entries(labels: pa.Table) -> Iterator[bytes]:
    """What to append to the journal, entry by entry, so that all who read it know ``labels``.

    To append them again does no harm: of no use, and without effect, are labels of transactions
    that never arrived or that have left all windows, and those that were given before.

    Args:
        labels: columns ``transaction_id``, ``is_fraud`` (boolean, or 0 and 1) and ``labelled_at``
            (a time with a zone); nulls in the last two mean not known.

    Raises:
        DataError: a column is missing or of another type; before the first entry.
    """
    ids, frauds, times = _checked(labels)
    return (
        encode(Labels(ids[start:stop], frauds[start:stop], times[start:stop]))
        for start in range(0, len(ids), _AT_ONCE)
        for stop in [start + _AT_ONCE]
    )


def _checked(labels: pa.Table) -> tuple[list[Any], list[bool | None], list[int | None]]:
    missing = [name for name in LABEL_COLUMNS if name not in labels.column_names]
    if missing:
        raise DataError(
            f"labels lack {', '.join(missing)}; they have: {', '.join(labels.column_names)}"
        )
    ids, _, times = (labels[name] for name in LABEL_COLUMNS)
    if not (pa.types.is_timestamp(times.type) and times.type.tz):
        raise DataError(f"labelled_at must be a time with a zone, got {times.type}")
    if ids.null_count:
        raise DataError("transaction_id has nulls; it must have none")
    frauds = flags(Source(table=labels), "is_fraud")
    try:
        times = times.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(f"labels cannot be read: {error}") from error
    return ids.to_pylist(), frauds.to_pylist(), times.to_pylist()
