"""What tells whether two rows of features are equal, without the rows: in machine code if built."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

_HASH_BYTES = 8

_LIBRARY = Path(__file__).parent / "native_hash.so"  # of the build; a plain checkout has none

_HEX = 2 * _HASH_BYTES

_Rows = npt.NDArray[np.float32]


def feature_hashes(features: _Rows) -> list[str]:
    """A hash of each row, 16 hexadecimal digits: the same for equal features, here and elsewhere.

    It is BLAKE2b (RFC 7693) of 8 bytes over the row as little-endian float32, with one NaN and one
    zero.

    Args:
        features: shape ``(B, F)``.
    """
    hashes = _native() or _by_hashlib
    joined = hashes(features.astype("<f4", copy=False)).hex()
    return [joined[start : start + _HEX] for start in range(0, len(joined), _HEX)]


def _by_hashlib(features: _Rows) -> bytes:
    rows = features + np.float32(0)  # -0 + 0 is 0
    rows[np.isnan(rows)] = np.float32("nan")
    return b"".join(
        hashlib.blake2b(row.tobytes(), digest_size=_HASH_BYTES).digest() for row in rows
    )


@cache
def _native() -> Callable[[_Rows], bytes] | None:
    """What `native/hash.cc` is compiled to; None where it was not, or for another system."""
    return _native_of(2)


def _native_of(most: int) -> Callable[[_Rows], bytes] | None:
    """The same with vectors no wider than those of a level."""
    try:
        library = ctypes.CDLL(str(_LIBRARY))
    except OSError:
        return None
    hashes_of = library[f"row_hashes_{min(library.vector_level(), most)}"]
    hashes_of.restype = None
    hashes_of.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]

    def hashes(features: _Rows) -> bytes:
        rows = np.ascontiguousarray(features)
        found = np.empty(len(rows), dtype="<u8")
        hashes_of(rows.ctypes.data, len(rows), rows.itemsize * rows.shape[1], found.ctypes.data)
        return found.tobytes()

    return hashes
