"""The rows of a COPY as blocks of Arrow arrays, read by `native/postgresql_rows.cc`."""

from __future__ import annotations

import ctypes
import select
import sys
from collections.abc import Iterator, Sequence
from ctypes import POINTER, byref, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import psycopg
import pyarrow as pa
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from data_connector.native_code import LIBRARY
from data_connector.postgresql_types import NUMERIC, READ

# For texts and bytes of a column in a block; memory that is not used is not taken.
_ROOM = 1 << 20

# Rows for which a block has memory at least, and how many times those of the one before at most.
_FEW_ROWS = 1_024
_MORE = 4

# How a value is sent: the numbers of `Form`, those of plain numbers by their bytes.
_SKIPPED, _BIT, _DAYS, _MICROSECONDS, _UNSIGNED, _BYTES, _NUMERIC = 0, 1, 5, 6, 7, 8, 9
_PLAIN = {2: 2, 4: 3, 8: 4}
_TEXTS = (_BYTES, _NUMERIC)
_OID = 26

_FULL, _WAITING, _ENDED, _FAILED, _MALFORMED = range(5)  # `State`

_FUNCTIONS = ("PQgetCopyData", "PQconsumeInput", "PQfreemem")


class _Libpq(ctypes.Structure):
    """`Libpq` in `native/postgresql_rows.cc`."""

    _fields_: ClassVar = [(name, c_void_p) for name in _FUNCTIONS]


class _Column(ctypes.Structure):
    """`Column` in `native/postgresql_rows.cc`."""

    _fields_: ClassVar = [
        *((name, c_void_p) for name in ("valid", "values", "offsets", "bytes")),
        *(("room", c_int64), ("form", c_int32)),
    ]


class _Progress(ctypes.Structure):
    """`Progress` in `native/postgresql_rows.cc`."""

    _fields_: ClassVar = [
        *(("message", c_void_p), ("size", c_int64), ("needed", c_int64)),
        *(("state", c_int32), ("is_begun", c_int32)),
    ]


@dataclass(frozen=True, slots=True)
class RowReader:
    """Machine code that reads rows, with the libpq that it reads them from."""

    read: Any
    free: Any
    libpq: _Libpq


@cache
def row_reader() -> RowReader | None:
    """The reader; None where it was not built, or psycopg calls its libpq from Python."""
    driver = sys.modules.get(f"psycopg_{psycopg.pq.__impl__}.pq")
    if driver is None:
        return None
    try:
        # Names are looked up in what it is linked to as well: the libpq that has our connections.
        libpq = ctypes.CDLL(driver.__file__)
        functions = _Libpq(*(ctypes.cast(libpq[name], c_void_p) for name in _FUNCTIONS))
        library = ctypes.CDLL(str(LIBRARY))
    except (OSError, AttributeError):  # not there, or of another system
        return None
    read, free = library.postgresql_rows_read, library.postgresql_rows_free
    read.restype, free.restype = c_int64, None
    free.argtypes = [POINTER(_Libpq), POINTER(_Progress)]
    read.argtypes = [
        *(POINTER(_Libpq), c_void_p, c_int32, POINTER(_Column)),
        *(c_int64, c_int64, POINTER(_Progress)),
    ]
    return RowReader(read, free, functions)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a column is sent, and the type of the array that it becomes."""

    number: int
    kind: pa.DataType

    @classmethod
    def of(cls, identifier: int) -> _Form:
        """That of a type of the server's."""
        kind = READ.get(identifier)
        if identifier == NUMERIC:
            return cls(_NUMERIC, pa.string())
        if kind is None:
            return cls(_SKIPPED, pa.null())
        if identifier == _OID:
            return cls(_UNSIGNED, kind)
        if pa.types.is_boolean(kind):
            return cls(_BIT, kind)
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            return cls(_BYTES, kind)
        if pa.types.is_date(kind):
            return cls(_DAYS, kind)
        if pa.types.is_timestamp(kind):
            return cls(_MICROSECONDS, kind)
        return cls(_PLAIN[kind.bit_width // 8], kind)


class _Buffers:
    """The memory of a column of a block: zeros, for what stands for NULL may be written on."""

    def __init__(self, form: _Form, n_rows: int, room: int) -> None:
        self.form = form
        self.is_text = form.number in _TEXTS
        bits = (n_rows + 7) // 8
        size = 0 if self.is_text or form.number == _SKIPPED else form.kind.bit_width * n_rows
        self.valid = np.zeros(bits, np.uint8)
        self.values = np.zeros((size + 7) // 8, np.uint8)
        self.offsets = np.zeros(n_rows + 1 if self.is_text else 0, np.int32)
        self.bytes = np.empty(room if self.is_text else 0, np.uint8)

    def column(self) -> _Column:
        """As machine code takes it."""
        arrays = (self.valid, self.values, self.offsets, self.bytes)
        addresses = (array.ctypes.data for array in arrays)
        return _Column(*addresses, room=len(self.bytes), form=self.form.number)

    def array(self, n: int) -> pa.Array:
        """The first `n` values."""
        if self.form.number == _SKIPPED:
            return pa.nulls(n)
        buffers = [pa.py_buffer(self.valid), pa.py_buffer(self.values)]
        if self.is_text:
            content = self.bytes[: self.offsets[n]]
            buffers[1:] = [pa.py_buffer(self.offsets), pa.py_buffer(content)]
        array = pa.Array.from_buffers(self.form.kind, n, buffers)
        if array.null_count == 0:
            array = pa.Array.from_buffers(self.form.kind, n, [None, *buffers[1:]], 0)
        return array


def blocks(
    reader: RowReader,
    connection: psycopg.Connection[Any],
    types: Sequence[int],
    n_rows: int,
) -> Iterator[list[pa.Array]]:
    """The rows of the COPY that `connection` is in, `n_rows` at a time, or fewer of long texts.

    NUMERIC comes as text, and a type that Arrow lacks as nothing but NULL.

    Args:
        reader: machine code.
        connection: after `COPY ... TO STDOUT (FORMAT binary)`.
        types: of the columns, by the server's numbers.
        n_rows: of a block.

    Raises:
        psycopg.Error: the server gave up, the connection was lost, or what came are no such rows.
    """
    forms = [_Form.of(identifier) for identifier in types]
    pgconn: Any = connection.pgconn
    progress = _Progress()
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    size, room = n_rows, _ROOM
    try:
        while progress.state == _FULL:
            buffers = [_Buffers(form, size, room) for form in forms]
            block = (_Column * len(forms))(*(it.column() for it in buffers))
            n, progress.state = 0, _WAITING
            while progress.state == _WAITING:
                n = reader.read(
                    byref(reader.libpq),
                    *(pgconn.pgconn_ptr, len(forms), block),
                    *(n, size, byref(progress)),
                )
                if progress.state == _WAITING:
                    poll.poll()  # and not in machine code, so that Ctrl-C is heard
            if n:
                yield [it.array(n) for it in buffers]
            # Where long texts end a block early, the next one has memory for so few rows, too.
            size = min(n_rows, max(_MORE * n, _FEW_ROWS))
            room = max(_ROOM, progress.needed)
    finally:
        reader.free(byref(reader.libpq), byref(progress))
    _check_end(connection, progress.state)


def _check_end(connection: psycopg.Connection[Any], state: int) -> None:
    if state == _MALFORMED:
        raise psycopg.DataError("the server sent rows of another form than it described")
    while state == _ENDED and (result := connection.pgconn.get_result()) is not None:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
    if state == _FAILED:
        raise psycopg.OperationalError(connection.pgconn.get_error_message())
