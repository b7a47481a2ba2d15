"""The rows of a SQLite statement as blocks of Arrow arrays, read by `native/sqlite_rows.cc`."""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Iterator
from ctypes import POINTER, byref, c_int32, c_int64, c_void_p
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_connector.sql_dialect import Values
from data_connector.sqlite_library import DONE, ROW, Statement
from data_connector.sqlite_rows import RowCode, row_code

# For texts and blobs of a column in a block; memory that is not used is not taken.
_ROOM = 1 << 20

_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL = 1, 2, 3, 4, 5  # SQLite's numbers of its storage classes

_FUNCTIONS = (
    *("step", "column_type", "column_int64", "column_double"),
    *("column_text", "column_blob", "column_bytes"),
)


class _Sqlite(ctypes.Structure):
    """`Sqlite` in `native/sqlite_rows.cc`."""

    _fields_: ClassVar = [(name, c_void_p) for name in _FUNCTIONS]


class _Column(ctypes.Structure):
    """`Column` in `native/sqlite_rows.cc`."""

    _fields_: ClassVar = [
        *((name, c_void_p) for name in ("classes", "values", "offsets", "bytes")),
        *((name, c_int64) for name in ("room", "seen")),
    ]


class _Progress(ctypes.Structure):
    """`Progress` in `native/sqlite_rows.cc`."""

    _fields_: ClassVar = [("on_row", c_int32), ("result", c_int32), ("needed", c_int64)]


@cache
def row_reader() -> RowCode | None:
    """What :func:`blocks` needs; None where there is none."""
    arguments = [c_void_p, c_int32, POINTER(_Column), c_int64, POINTER(_Progress)]
    return row_code("sqlite_rows_read", _Sqlite, c_int64, arguments)


class _Buffers:
    """The memory of a column of a block."""

    def __init__(self, n_rows: int, room: int) -> None:
        self.classes = np.empty(n_rows, np.uint8)
        self.values = np.zeros(n_rows, np.int64)  # what stands for NULL may be written on
        self.offsets = np.empty(n_rows + 1, np.int32)
        self.bytes = np.empty(room, np.uint8)

    def column(self) -> _Column:
        """As machine code takes it."""
        arrays = (self.classes, self.values, self.offsets, self.bytes)
        return _Column(*(array.ctypes.data for array in arrays), room=len(self.bytes))

    def array(self, n: int, seen: int) -> Values:
        """The first `n` values; as Python's own where they are of several kinds."""
        classes = self.classes[:n]
        nulls = seen & 1 << _NULL
        kinds = seen & ~(1 << _NULL)
        if kinds == 0:
            return pa.nulls(n)
        valid = _bitmap(classes != _NULL) if nulls else None
        if kinds in (1 << _INTEGER, 1 << _FLOAT):
            kind = pa.int64() if kinds == 1 << _INTEGER else pa.float64()
            return pa.Array.from_buffers(kind, n, [valid, _buffer(self.values[:n])])
        if kinds in (1 << _TEXT, 1 << _BLOB):
            kind = pa.string() if kinds == 1 << _TEXT else pa.binary()
            content = _buffer(self.bytes[: self.offsets[n]])
            return pa.Array.from_buffers(kind, n, [valid, _buffer(self.offsets[: n + 1]), content])
        if kinds == 1 << _INTEGER | 1 << _FLOAT:  # a decimal is stored as either
            numbers = self.values[:n].view(np.float64).astype(object)
            integers = classes == _INTEGER
            numbers[integers] = self.values[:n][integers]
            numbers[classes == _NULL] = None
            mixed: list[Any] = numbers.tolist()
            return mixed
        return [self._value(row) for row in range(n)]

    def _value(self, row: int) -> Any:
        kind = self.classes[row]
        if kind == _NULL:
            return None
        if kind == _INTEGER:
            return int(self.values[row])
        if kind == _FLOAT:
            return float(self.values[row : row + 1].view(np.float64)[0])
        content = self.bytes[self.offsets[row] : self.offsets[row + 1]].tobytes()
        return content.decode() if kind == _TEXT else content


def blocks(reader: RowCode, statement: Statement, n_rows: int) -> Iterator[list[Values]]:
    """The rows, `n_rows` at a time, or fewer where texts are long: those of now, however late.

    Raises:
        sqlite3.Error: SQLite failed, or a text is no UTF-8.
    """
    first = reader.sqlite.sqlite3_step(statement.address)  # takes the lock
    if first not in {ROW, DONE}:
        raise statement.error()
    return _blocks(reader, statement, n_rows, _Progress(on_row=1, result=first, needed=0))


def _blocks(
    reader: RowCode, statement: Statement, n_rows: int, progress: _Progress
) -> Iterator[list[Values]]:
    width = len(statement.names)
    room = _ROOM
    while progress.result == ROW:
        buffers = [_Buffers(n_rows, room) for _ in range(width)]
        columns = (_Column * width)(*(it.column() for it in buffers))
        n = reader.run(
            *(byref(reader.functions), statement.address, width, columns, n_rows, byref(progress))
        )
        if n:
            found = zip(statement.names, buffers, columns, strict=True)
            yield [_readable(it, n, column.seen, name) for name, it, column in found]
        room = max(_ROOM, progress.needed)
    if progress.result != DONE:
        raise statement.error()


def _readable(buffers: _Buffers, n: int, seen: int, name: str) -> Values:
    """The values, if texts are UTF-8, which SQLite does not check."""
    try:
        values = buffers.array(n, seen)
        if isinstance(values, pa.Array) and pa.types.is_string(values.type):
            values.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise sqlite3.OperationalError(f"column {name!r} is no UTF-8: {error}") from None
    return values


def _bitmap(valid: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _buffer(array: npt.NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(np.ascontiguousarray(array))
