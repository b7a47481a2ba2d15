"""A net in machine code: what `native/net.cc` is compiled to, where it runs on this machine."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fraud_ml.net_tables import NetTables

LIBRARY = Path(__file__).parent / "native_net.so"  # of the build; in a plain checkout there is none

_PANEL = 16  # columns of a layer that the library computes together
_LINE = 64  # bytes that come from memory together: a wide vector that lies in two takes twice

_Floats = ctypes.POINTER(ctypes.c_float)
_Integers = ctypes.POINTER(ctypes.c_int32)

_ARRAYS = (
    "edges",
    "start",
    "base",
    "rise",
    "codes",
    "vectors",
    "first",
    "first_bias",
    "hidden",
    "hidden_bias",
    "last",
    "last_bias",
)


class _Net(ctypes.Structure):
    """`FraudNet` in `native/net.cc`."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("n_features", "n_numbers", "n_categories")),
        *((name, ctypes.c_int32) for name in ("n_edges", "n_codes", "n_groups", "n_members")),
        *((name, ctypes.c_int32) for name in ("embedding", "n_hidden", "width")),
        *((name, ctypes.c_float) for name in ("slope", "offset")),
        *((name, _Integers) for name in ("number_columns", "category_columns")),
        *((name, _Floats) for name in _ARRAYS),
    )


@dataclass(frozen=True, slots=True)
class Library:
    """The library's functions, as `native/net.cc` describes them."""

    level: int
    """How wide the vectors are."""
    scratch: Callable[..., int]
    score: Callable[..., None]


@cache
def library() -> Library | None:
    """The library; None where it was not built, or this processor lacks its instructions."""
    return library_of(2)


def library_of(most: int) -> Library | None:
    """The same with vectors no wider than those of a level."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
    except OSError:  # not there, or of another system
        return None
    level = min(found.vector_level(), most)
    if level == 0:
        return None
    scratch, score = found.fraud_net_scratch, found[f"fraud_net_score_{level}"]
    scratch.restype = ctypes.c_int64
    scratch.argtypes = [ctypes.POINTER(_Net)]
    score.restype = None
    score.argtypes = [ctypes.POINTER(_Net), _Floats, ctypes.c_int64, _Floats, _Floats]
    return Library(level, scratch, score)


class NativeNet:
    """The net of some tables, laid out for the library."""

    def __init__(self, tables: NetTables, functions: Library) -> None:
        self._functions = functions
        self._n_features = tables.n_features
        self._arrays = _laid_out(tables)
        self._columns = [
            np.ascontiguousarray(it, dtype=np.int32)
            for it in (tables.number_columns, tables.category_columns)
        ]
        n_groups, n_in, n_out = tables.first.shape
        n_members = len(tables.last) // n_groups
        self._net = _Net(
            n_features=tables.n_features,
            n_numbers=len(tables.number_columns),
            n_categories=len(tables.category_columns),
            n_edges=tables.edges.shape[1],
            n_codes=tables.codes.shape[1],
            n_groups=n_groups,
            n_members=n_members,
            embedding=n_in // tables.n_features,
            n_hidden=len(tables.hidden),
            width=_whole_panels(n_out // n_members),
            slope=tables.calibration[0],
            offset=tables.calibration[1],
            number_columns=self._columns[0].ctypes.data_as(_Integers),
            category_columns=self._columns[1].ctypes.data_as(_Integers),
            **{name: self._arrays[name].ctypes.data_as(_Floats) for name in _ARRAYS},
        )
        self._n_scratch = functions.scratch(ctypes.byref(self._net))
        self._of_thread = threading.local()  # a call leaves the interpreter to other threads

    def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Probabilities of fraud, of contiguous features of shape ``(N, F)``: shape ``(N,)``."""
        scratch = getattr(self._of_thread, "scratch", None)
        if scratch is None:
            scratch = self._of_thread.scratch = _on_a_line(self._n_scratch)
        scores = np.empty(len(features), dtype=np.float32)
        self._functions.score(
            ctypes.byref(self._net),
            features.ctypes.data_as(_Floats),
            len(features),
            scratch.ctypes.data_as(_Floats),
            scores.ctypes.data_as(_Floats),
        )
        return scores


def _whole_panels(width: int) -> int:
    return -(-width // _PANEL) * _PANEL


def _laid_out(tables: NetTables) -> dict[str, npt.NDArray[np.float32]]:
    """The arrays as the library takes them: a member's width filled up with zeros, in panels."""
    n_groups, n_in, n_out = tables.first.shape
    n_members = len(tables.last) // n_groups
    width = n_out // n_members
    more = (0, _whole_panels(width) - width)
    first = tables.first.reshape(n_groups, n_in, n_members, width)
    first_bias = tables.first_bias.reshape(n_groups, n_members, width)
    changed = {
        "edges": tables.edges.T,
        "first": _in_panels(_padded(first, more).reshape(n_groups, n_in, -1)),
        "first_bias": _padded(first_bias, more),
        "hidden": _in_panels(_padded(tables.hidden, more, more)),
        "hidden_bias": _padded(tables.hidden_bias, more),
        "last": _padded(tables.last, more),
    }
    laid_out = {}
    for name in _ARRAYS:
        array = changed.get(name, getattr(tables, name))
        laid_out[name] = _on_a_line(array.size)
        laid_out[name][:] = array.ravel()
    return laid_out


def _on_a_line(n_floats: int) -> npt.NDArray[np.float32]:
    """Room for ``n_floats`` that begins where a cache line does."""
    room = np.empty(4 * n_floats + _LINE, dtype=np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + 4 * n_floats].view(np.float32)


def _padded(array: npt.NDArray[np.float32], *last: tuple[int, int]) -> npt.NDArray[np.float32]:
    """``array`` with zeros before and after the last axes."""
    return np.pad(array, [(0, 0)] * (array.ndim - len(last)) + [*last])


def _in_panels(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``(..., K, N)`` as ``(..., N / 16, K, 16)``."""
    *before, n_in, n_out = weights.shape
    by_panel = weights.reshape(*before, n_in, n_out // _PANEL, _PANEL)
    return np.moveaxis(by_panel, -2, -3)
