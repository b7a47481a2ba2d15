"""Rows of Arrow arrays into a table of SQLite, by `native/sqlite_rows.cc`."""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Sequence
from ctypes import POINTER, byref, c_int, c_int32, c_int64, c_void_p
from functools import cache
from typing import ClassVar

import pyarrow as pa

from data_connector.sqlite_library import error_of
from data_connector.sqlite_rows import RowCode, row_code

# More rows in a statement gain nothing; more values were too many for SQLite before 3.32.
ROWS_A_STATEMENT = 50
MOST_VALUES = 999

_INTEGER, _FLOAT, _TEXT, _BLOB = 1, 2, 3, 4  # SQLite's numbers of its storage classes
_STORAGE = {pa.int64(): _INTEGER, pa.float64(): _FLOAT, pa.string(): _TEXT, pa.binary(): _BLOB}

_FUNCTIONS = (
    *("bind_null", "bind_int64", "bind_double", "bind_text", "bind_blob"),
    *("step", "reset"),
)


class _Binder(ctypes.Structure):
    """`Binder` in `native/sqlite_rows.cc`."""

    _fields_: ClassVar = [(name, c_void_p) for name in _FUNCTIONS]


class _Values(ctypes.Structure):
    """`Values` in `native/sqlite_rows.cc`."""

    _fields_: ClassVar = [
        *((name, c_void_p) for name in ("valid", "content", "offsets")),
        *((name, c_int64) for name in ("offset", "storage")),
    ]


@cache
def row_writer() -> RowCode | None:
    """What :class:`Insert` needs; None where there is none."""
    arguments = [c_void_p, c_int32, POINTER(_Values), c_int64, c_int64, c_int32]
    return row_code("sqlite_rows_insert", _Binder, c_int, arguments)


class Insert:
    """INSERTs with a parameter for each value, on somebody's connection."""

    def __init__(self, writer: RowCode, handle: int, into: str, width: int) -> None:
        """Prepares them; close it, whatever comes.

        Args:
            writer: of the same SQLite as `handle`.
            handle: of a connection that no other thread uses meanwhile.
            into: an INSERT up to its VALUES.
            width: number of its columns.

        Raises:
            sqlite3.DatabaseError: SQLite refused it.
        """
        self._writer = writer
        self._handle = handle
        self._statements: list[tuple[int, c_void_p]] = []  # with how many rows each inserts
        row = f"({', '.join('?' * width)})"
        try:
            for n_rows in (max(1, min(ROWS_A_STATEMENT, MOST_VALUES // width)), 1):
                statement = self._prepared(into + ", ".join([row] * n_rows))
                self._statements.append((n_rows, statement))
        except BaseException:
            self.close()
            raise

    def rows(self, columns: Sequence[pa.Array]) -> None:
        """Insert rows.

        Args:
            columns: as long as each other, of int64, float64, string or binary.

        Raises:
            sqlite3.DatabaseError: SQLite refused one; those before it are in the transaction.
        """
        writer, start, n_rows = self._writer, 0, len(columns[0])
        values = (_Values * len(columns))(*map(_values, columns))
        for rows_a_run, statement in self._statements:
            stop = n_rows - (n_rows - start) % rows_a_run
            result = writer.run(
                *(byref(writer.functions), statement, len(columns), values),
                *(start, stop, rows_a_run),
            )
            if result != sqlite3.SQLITE_OK:
                raise error_of(writer.sqlite, self._handle)
            start = stop

    def close(self) -> None:
        """Free the statements."""
        while self._statements:
            _, statement = self._statements.pop()
            self._writer.sqlite.sqlite3_finalize(statement)

    def _prepared(self, text: str) -> c_void_p:
        statement, encoded, sqlite = c_void_p(), text.encode(), self._writer.sqlite
        if sqlite.sqlite3_prepare_v2(self._handle, encoded, len(encoded), byref(statement), None):
            raise error_of(sqlite, self._handle)
        return statement


def _values(array: pa.Array) -> _Values:
    """Where the array has its memory, which it keeps."""
    valid, *_, content = array.buffers()
    storage = _STORAGE[array.type]
    offsets = array.buffers()[1] if storage in {_TEXT, _BLOB} else None
    buffers = (valid, content, offsets)
    return _Values(
        *(None if buffer is None else buffer.address for buffer in buffers),
        offset=array.offset,
        storage=storage,
    )
