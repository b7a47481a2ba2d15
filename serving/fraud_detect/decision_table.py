"""Decisions as they go from a worker to the process that writes them, and as a table has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from fraud_ml.feature_hash import feature_hashes

TABLE = "decisions"

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("timestamp", _TIME),  # of the payment
        ("scored_at", _TIME),
        ("score", pa.float64()),
        ("decision", pa.string()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("features_hash", pa.string()),
        ("degraded", pa.bool_()),
    ]
)


class Decided(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A batch of B decisions."""

    transaction_id: Sequence[Any]
    timestamp: Sequence[int]
    """Microseconds since 1970-01-01 UTC, as the next."""
    scored_at: int
    scores: bytes
    """float32, little-endian."""
    decisions: Sequence[str | None]
    features: bytes
    """float32, little-endian, row by row."""
    degraded: bool
    model: str
    version: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Decided)


def encode(decided: Decided) -> bytes:
    """``decided`` for :func:`decode`."""
    return _encoder.encode(decided)


def decode(value: bytes) -> Decided:
    """What :func:`encode` was given."""
    decided: Decided = _decoder.decode(value)
    return decided


def table_of(parts: Sequence[Decided]) -> pa.Table:
    """The rows of all ``parts``, which one worker sent, with the columns of :data:`SCHEMA`."""
    n_rows = [len(part.transaction_id) for part in parts]
    scores = np.frombuffer(b"".join(part.scores for part in parts), "<f4")
    features = np.frombuffer(b"".join(part.features for part in parts), "<f4")
    of_each = {
        "transaction_id": [str(name) for part in parts for name in part.transaction_id],
        "timestamp": list(chain.from_iterable(part.timestamp for part in parts)),
        "score": scores.astype(np.float64),
        "decision": list(chain.from_iterable(part.decisions for part in parts)),
        "features_hash": feature_hashes(features.reshape(sum(n_rows), -1)),
    }
    of_all = {
        "scored_at": [part.scored_at for part in parts],
        "model": [part.model for part in parts],
        "version": [part.version for part in parts],
        "degraded": [part.degraded for part in parts],
    }
    part_of_row = pa.array(np.repeat(np.arange(len(parts)), n_rows))
    columns = [
        pa.array(of_each[field.name], field.type)
        if field.name in of_each
        else pa.array(of_all[field.name], field.type).take(part_of_row)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)
