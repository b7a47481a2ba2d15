"""What the journal says: transactions, and labels, in the order in which they count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


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
