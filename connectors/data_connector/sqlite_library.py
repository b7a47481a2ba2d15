"""SQLite by its C interface: that of Python's own `sqlite3`, and no other.

Another SQLite in the same process would be faster, too, but as it closes a file, this process loses
the locks of its other connections to it (https://sqlite.org/howtocorrupt.html, section 2.2.1). The
library that `sqlite3` has loaded knows of them all.
"""

from __future__ import annotations

import atexit
import ctypes
import sqlite3
import threading
from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_double, c_int, c_int64, c_void_p
from functools import cache
from typing import Any, TypeVar

ROW = 100
DONE = 101

_OPEN_READWRITE = 0x02
_OPEN_URI = 0x40
_OPEN_NOMUTEX = 0x8000  # one thread at a time has a statement
_COPIED = c_void_p(-1)  # SQLITE_TRANSIENT: SQLite keeps a copy of what is bound

_Extension = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p)
_Connection = TypeVar("_Connection")

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "sqlite3_auto_extension": (c_int, [_Extension]),
    "sqlite3_cancel_auto_extension": (c_int, [_Extension]),
    "sqlite3_open_v2": (c_int, [c_char_p, POINTER(c_void_p), c_int, c_char_p]),
    "sqlite3_busy_timeout": (c_int, [c_void_p, c_int]),
    "sqlite3_close_v2": (c_int, [c_void_p]),
    "sqlite3_extended_errcode": (c_int, [c_void_p]),
    "sqlite3_errmsg": (c_char_p, [c_void_p]),
    "sqlite3_prepare_v2": (c_int, [c_void_p, c_char_p, c_int, POINTER(c_void_p), c_void_p]),
    "sqlite3_finalize": (c_int, [c_void_p]),
    "sqlite3_bind_null": (c_int, [c_void_p, c_int]),
    "sqlite3_bind_int64": (c_int, [c_void_p, c_int, c_int64]),
    "sqlite3_bind_double": (c_int, [c_void_p, c_int, c_double]),
    "sqlite3_bind_text": (c_int, [c_void_p, c_int, c_char_p, c_int, c_void_p]),
    "sqlite3_bind_blob": (c_int, [c_void_p, c_int, c_char_p, c_int, c_void_p]),
    "sqlite3_reset": (c_int, [c_void_p]),
    "sqlite3_column_count": (c_int, [c_void_p]),
    "sqlite3_column_name": (c_char_p, [c_void_p, c_int]),
    "sqlite3_step": (c_int, [c_void_p]),
    "sqlite3_column_type": (c_int, [c_void_p, c_int]),
    "sqlite3_column_int64": (c_int64, [c_void_p, c_int]),
    "sqlite3_column_double": (c_double, [c_void_p, c_int]),
    "sqlite3_column_text": (c_void_p, [c_void_p, c_int]),
    "sqlite3_column_blob": (c_void_p, [c_void_p, c_int]),
    "sqlite3_column_bytes": (c_int, [c_void_p, c_int]),
}

_ERRORS = {
    getattr(sqlite3, name): name
    for name in (
        *("SQLITE_ERROR", "SQLITE_PERM", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_NOMEM"),
        *("SQLITE_READONLY", "SQLITE_INTERRUPT", "SQLITE_IOERR", "SQLITE_CORRUPT"),
        *("SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_SCHEMA", "SQLITE_TOOBIG"),
        *("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_AUTH", "SQLITE_NOTADB"),
    )
}


@cache
def sqlite_library() -> ctypes.CDLL | None:
    """The library of `sqlite3`; None where that has it inside, or is no CPython's."""
    try:
        import _sqlite3

        # Names are looked up in what it is linked to as well.
        found = ctypes.CDLL(_sqlite3.__file__)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(found, name)  # kept, where found[name] makes another each time
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError):
        return None
    return found


_opened = threading.local()


def _note(handle: int | None, _message: int | None, _routines: int | None) -> int:
    _opened.handle = handle
    return sqlite3.SQLITE_OK


_extension = _Extension(_note)  # for ever: SQLite has its address


@cache
def _opened_are_noted() -> bool:
    library = sqlite_library()
    if library is None or library.sqlite3_auto_extension(_extension) != sqlite3.SQLITE_OK:
        return False
    # A connection that is opened when Python is almost gone must not call it.
    atexit.register(library.sqlite3_cancel_auto_extension, _extension)
    return True


def with_handle(connect: Callable[[], _Connection]) -> tuple[_Connection, int | None]:
    """What `connect` returns, a connection of `sqlite3`; and what SQLite knows it by.

    `sqlite3` keeps that to itself, but SQLite tells it to extensions of all connections. None where
    there is no :func:`sqlite_library`.
    """
    if not _opened_are_noted():
        return connect(), None
    _opened.handle = None
    return connect(), _opened.handle


def error_of(library: ctypes.CDLL, handle: int | c_void_p) -> sqlite3.DatabaseError:
    """What the last call of SQLite on a connection failed with, as `sqlite3` would raise it."""
    code = library.sqlite3_extended_errcode(handle)
    error = sqlite3.DatabaseError(library.sqlite3_errmsg(handle).decode(errors="replace"))
    error.sqlite_errorcode = code
    error.sqlite_errorname = _ERRORS.get(code & 0xFF, "SQLITE_ERROR")
    return error


class Statement:
    """A SELECT that is about to run, on a connection of its own.

    Args:
        library: SQLite.
        uri: of the database.
        patience: milliseconds to wait for another's lock.
        text: the SELECT.
        parameters: what its question marks stand for.

    Raises:
        sqlite3.DatabaseError: the database cannot be opened, or the SELECT is wrong.
    """

    def __init__(
        self, library: ctypes.CDLL, uri: str, patience: int, text: str, parameters: Sequence[Any]
    ) -> None:
        self._library = library
        self._connection, self.address = c_void_p(), c_void_p()
        try:
            flags = _OPEN_READWRITE | _OPEN_URI | _OPEN_NOMUTEX
            opened = library.sqlite3_open_v2(uri.encode(), byref(self._connection), flags, None)
            self._check(opened)
            self._check(library.sqlite3_busy_timeout(self._connection, patience))
            encoded = text.encode()
            self._check(
                library.sqlite3_prepare_v2(
                    self._connection, encoded, len(encoded), byref(self.address), None
                )
            )
            for index, value in enumerate(parameters, start=1):
                self._check(self._bind(index, value))
            self.names = [
                library.sqlite3_column_name(self.address, index).decode()
                for index in range(library.sqlite3_column_count(self.address))
            ]
        except BaseException:
            self.close()
            raise

    def error(self) -> sqlite3.DatabaseError:
        """What the last call of SQLite failed with, as `sqlite3` would raise it."""
        return error_of(self._library, self._connection)

    def close(self) -> None:
        """Free the statement and the connection; nothing happens a second time."""
        statement, self.address = self.address, c_void_p()
        connection, self._connection = self._connection, c_void_p()
        self._library.sqlite3_finalize(statement)
        self._library.sqlite3_close_v2(connection)

    def _check(self, result: int) -> None:
        if result != sqlite3.SQLITE_OK:
            raise self.error()

    def _bind(self, index: int, value: Any) -> int:
        library, statement = self._library, self.address
        if value is None:
            bound = library.sqlite3_bind_null(statement, index)
        elif isinstance(value, int):
            bound = library.sqlite3_bind_int64(statement, index, value)
        elif isinstance(value, float):
            bound = library.sqlite3_bind_double(statement, index, value)
        elif isinstance(value, str):
            encoded = value.encode()
            bound = library.sqlite3_bind_text(statement, index, encoded, len(encoded), _COPIED)
        elif isinstance(value, bytes):
            bound = library.sqlite3_bind_blob(statement, index, value, len(value), _COPIED)
        else:
            raise TypeError(f"SQLite has no value like {type(value).__name__}")
        return int(bound)
