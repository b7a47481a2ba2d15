"""The functions of `native/sqlite_rows.cc`, with the functions of SQLite that they call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_void_p
from dataclasses import dataclass
from typing import Any

from data_connector.native_code import LIBRARY
from data_connector.sqlite_library import sqlite_library


@dataclass(frozen=True, slots=True)
class RowCode:
    """Machine code that reads or inserts rows, with the SQLite that it does so by."""

    sqlite: ctypes.CDLL
    run: Any
    functions: ctypes.Structure
    """What `run` takes first: where the functions of SQLite are."""


def row_code(
    name: str, functions: type[ctypes.Structure], result: type, arguments: Sequence[Any]
) -> RowCode | None:
    """A function; None where it was not built, or SQLite cannot be called from outside.

    Args:
        name: of the function.
        functions: what it takes first, by reference; each field is named as SQLite's function.
        result: its type.
        arguments: the types of the others.
    """
    sqlite = sqlite_library()
    if sqlite is None:
        return None
    try:
        run = ctypes.CDLL(str(LIBRARY))[name]
    except OSError:  # not there, or of another system
        return None
    run.restype = result
    run.argtypes = [ctypes.POINTER(functions), *arguments]
    names = [field[0] for field in functions._fields_]
    addresses = [ctypes.cast(sqlite[f"sqlite3_{name}"], c_void_p) for name in names]
    return RowCode(sqlite, run, functions(*addresses))
