"""Files that appear whole or not at all, and locks that die with their owner."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from data_connector.errors import (
    DiskFullError,
    SourceNotFoundError,
    TargetExistsError,
    WriteError,
    is_disk_full,
)


@contextmanager
def written_whole(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends, and vanishes if it fails.

    It lies in the same folder meanwhile, hidden and locked; what a killed writer left there goes
    with the next write to the same path.

    Raises:
        TargetExistsError: `path` is there, and `replace` is false.
        SourceNotFoundError: the folder is missing.
        DiskFullError: no room.
        WriteError: the operating system refused otherwise.
    """
    if not path.absolute().parent.is_dir():
        raise SourceNotFoundError(f"no folder {path.parent}: create it first")
    with write_errors(path):
        _remove_leftovers(path)
        file = _create_locked(path)
    aside = Path(file.name)
    try:
        # The data may come from a source whose errors are not ours: of those in the block, only
        # a full disk is known to be.
        with disk_errors(path), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            with write_errors(path):
                if replace:
                    aside.replace(path)
                else:
                    _link(aside, path)
                sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """A full disk inside of the block, as this library's error."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError.at(path) from error
        raise


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Errors of the operating system inside of the block, as this library's."""
    try:
        with disk_errors(path):
            yield
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error


def lock(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
    """Whether the file is now locked by this opening of it; the lock goes when it is closed.

    Any number may hold it `shared`, while nobody holds it otherwise.

    A lock and no process number, since the kernel frees it however its owner ends.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_locked(path: Path) -> BinaryIO:
    while True:
        aside = path.with_name(f".{path.name}.{uuid4().hex}.partial")
        file = aside.open("xb")
        # Someone may have taken it for a leftover before it was locked.
        if lock(file.fileno(), wait=False) and aside.exists():
            return file
        file.close()


def _remove_leftovers(path: Path) -> None:
    prefix, suffix = f".{path.name}.", ".partial"
    for leftover in path.absolute().parent.iterdir():
        if leftover.name.startswith(prefix) and leftover.name.endswith(suffix):
            with suppress(FileNotFoundError), leftover.open("rb") as file:
                if lock(file.fileno(), wait=False):
                    leftover.unlink()


def _link(aside: Path, path: Path) -> None:
    # Unlike a rename, a link fails where another writer came first.
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        raise TargetExistsError(
            f"{path} exists: give if_exists='append' or 'replace', or another path"
        ) from None
