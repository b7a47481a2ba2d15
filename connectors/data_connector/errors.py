"""What can go wrong with a source or a target, and what to do about it.

Every error here is a `ConnectorError`; its message is one a user can act on, and never holds a
password. Wrong arguments (a negative batch size) are `ValueError`, as everywhere in Python.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


class ConnectorError(Exception):
    """Base of all errors of this library."""


class UnsupportedSourceError(ConnectorError):
    """No backend serves this URL, file type or request."""


class SourceNotFoundError(ConnectorError):
    """The file, folder or database is not there."""


class SourceUnreachableError(ConnectorError):
    """The server refused, did not answer, or the source is locked by another process."""


class AccessDeniedError(SourceUnreachableError):
    """The server answered, and refused the user or the password: trying again does not help."""


class CorruptSourceError(ConnectorError):
    """The source is there, but is not what it should be: damaged, cut short, another format."""


class QueryError(ConnectorError):
    """The database refused the query."""


class TableNotFoundError(ConnectorError):
    """The source holds no such table; `available` lists those it holds."""

    def __init__(self, message: str, *, available: Iterable[str]) -> None:
        self.available = tuple(available)
        super().__init__(f"{message}; tables there: {listed(self.available)}")


class ColumnNotFoundError(ConnectorError):
    """The table has no such column; `available` lists those it has."""

    def __init__(self, message: str, *, available: Iterable[str]) -> None:
        self.available = tuple(available)
        super().__init__(f"{message}; columns there: {listed(self.available)}")


class SchemaMismatchError(ConnectorError):
    """A column's type or value does not fit; `column` names it, `row` counts from 1 if known."""

    def __init__(self, message: str, *, column: str, row: int | None = None) -> None:
        self.column = column
        self.row = row
        place = f"column {column!r}" if row is None else f"column {column!r}, row {row}"
        super().__init__(f"{place}: {message}")


class TargetExistsError(ConnectorError):
    """The target is there already, and the caller said that it must not be."""


class WriteError(ConnectorError):
    """The target refused the rows; it is as it was before."""


class CommitUnknownError(ConnectorError):
    """The connection was lost at the commit: the target has all of the rows, or is as before."""


class DiskFullError(WriteError):
    """The target's disk has no room; it is as it was before."""

    @classmethod
    def at(cls, path: Path) -> DiskFullError:
        """The error for a write to `path`: it names the disk, its size and its room in bytes."""
        disk = path.absolute()
        while not disk.exists() or not os.path.ismount(disk):
            if disk == disk.parent:
                break
            disk = disk.parent
        room = shutil.disk_usage(disk)
        return cls(
            f"disk full: no room to write {path} on the disk mounted at {disk} "
            f"({room.total:,} bytes, {room.free:,} free); nothing was kept of this write; "
            "free some space or choose another disk"
        )


class ConflictError(WriteError):
    """Somebody else wrote first, and nothing was written; `keys` are the keys concerned."""

    def __init__(self, message: str, *, keys: Iterable[str | bytes]) -> None:
        self.keys = tuple(keys)
        super().__init__(f"{message}; keys concerned: {listed(self.keys)}")


class OutcomeUnknownError(SourceUnreachableError):
    """The connection was lost in a write; if it was done, it left `version` behind."""

    def __init__(self, message: str, *, version: int) -> None:
        self.version = version
        super().__init__(message)


class StoreReplacedError(ConnectorError):
    """The feature store was replaced, or begun to be, by somebody else in the meantime."""


class JournalTrimmedError(ConnectorError):
    """The journal has forgotten entries that were asked for: load a newer snapshot."""


class JournalReplacedError(ConnectorError):
    """The journal ends before a position that it once had: it is another, or an old copy."""


class ModelNotFoundError(ConnectorError):
    """The model store holds no such model, version or alias."""


class AliasConflictError(ConnectorError):
    """A model's alias is not where the caller expected; `current` is its version, None without."""

    def __init__(self, message: str, *, current: int | None) -> None:
        self.current = current
        super().__init__(message)


def is_disk_full(error: BaseException) -> bool:
    """Whether the operating system said that a disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def listed(names: Iterable[str | bytes], *, limit: int = 20) -> str:
    """Names for a message: quoted, in order, the first `limit` of them."""
    names = list(names)
    if not names:
        return "none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(name) for name in names[:limit]) + more
