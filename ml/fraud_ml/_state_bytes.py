"""A feature state as bytes: arrays and JSON, nothing that can run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from fraud_ml._key_state import ARRAYS, KeyState
from fraud_ml.errors import DataError

FORMAT_VERSION = 1


def dump(header: dict[str, Any], keys: list[KeyState]) -> bytes:
    """``header``, which must be JSON, and ``keys``, for :func:`load`."""
    arrays = {f"{i}.{name}": getattr(key, name) for i, key in enumerate(keys) for name in ARRAYS}
    rest = [
        {
            "slots": list(key.slots),
            "pending": list(key.pending.items()),
            "distinct": [
                [slot, column, list(values.items())]
                for slot, columns in key.distinct.items()
                for column, values in columns.items()
            ],
            "free": list(key.free.items()),
            "used": key.used,
        }
        for key in keys
    ]
    text = json.dumps({"version": FORMAT_VERSION, "keys": rest, **header})
    content = io.BytesIO()
    np.savez(content, header=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)
    return content.getvalue()


def load(content: bytes) -> tuple[dict[str, Any], Callable[[list[KeyState]], None]]:
    """The header that :func:`dump` was given, and what fills empty keys again.

    Raises:
        DataError: ``content`` is no feature state, damaged, or another version's.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(arrays["header"].tobytes())
        version = header["version"]
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"these bytes are no feature state: {error}") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"a feature state of version {version!r}, this release reads {FORMAT_VERSION};"
            " rebuild it from history"
        )

    def restore(keys: list[KeyState]) -> None:
        for i, (key, rest) in enumerate(zip(keys, header["keys"], strict=True)):
            for name in ARRAYS:
                setattr(key, name, arrays[f"{i}.{name}"])
            key.slots = {_hashable(value): slot for slot, value in enumerate(rest["slots"])}
            key.pending = {slot: [tuple(p) for p in items] for slot, items in rest["pending"]}
            for slot, column, values in rest["distinct"]:
                key.distinct.setdefault(slot, {})[column] = dict(map(tuple, values))
            key.free = dict(rest["free"])
            key.used = rest["used"]

    return header, restore


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
