"""Copies of models on this machine: checked, shared by processes, and only so many.

A copy is a folder `<root>/<model>/<version>-<place>`. Who uses one holds a lock on the file
`.<version>-<place>.used` beside it, whose time of change is the last use's. So nobody's copy is
dropped while it is read, and a killed process holds nothing back.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from data_connector.atomic import lock, write_errors
from data_connector.errors import CorruptSourceError
from data_connector.model_catalogue import Manifest, placed_at
from data_connector.model_files import discard, keep, locked, staged, verify

# Seconds that a copy stays after it was opened, for those who keep nothing of it but the path.
_LEAST_STAY = 3600

_MARK = ".used"


class Lease:
    """A lock that keeps a copy from being dropped as long as this object is there."""

    def __init__(self, descriptor: int) -> None:
        weakref.finalize(self, os.close, descriptor)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's folder on this machine."""

    path: Path
    lease: Lease | None = None
    """None where nothing would remove it anyway."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """A folder for copies. It may be shared by stores, and deleted between uses."""

    root: Path
    limit: int
    """Bytes: to download one more, the copies unused for longest are dropped until all fit."""

    def staged(self, name: str) -> AbstractContextManager[Path]:
        """A folder for a version in the making."""
        return staged(self.root / name)

    def copy(
        self,
        name: str,
        version: int,
        manifest: Manifest,
        download: Callable[[Path], None],
        *,
        title: str,
    ) -> LocalModel:
        """A version's copy, checked; downloaded first unless it is there and in order.

        Any number of processes may do so at once. None ever sees half a model.

        Args:
            name: of the model.
            version: its number.
            manifest: what was published.
            download: writes the files into the empty folder that it gets.
            title: of the model, for errors.

        Raises:
            CorruptSourceError: what was downloaded is not what was published.
            DiskFullError: no room on this machine.
            WriteError: no right to write there.
        """
        folder = self.root / name
        model = folder / f"{version}-{manifest.place}"
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lease = _leased(model)
        if model.is_dir():
            try:
                verify(model, manifest.files, title=title)
            except CorruptSourceError:
                with write_errors(model), locked(folder):
                    discard(model)
            else:
                return LocalModel(model, lease)
        with write_errors(self.root):
            self._make_room(sum(file.size for file in manifest.files.values()))
        with staged(folder) as unfinished:
            download(unfinished)
            verify(unfinished, manifest.files, title=title)
            with write_errors(folder):
                keep(unfinished)
                try:
                    unfinished.rename(model)
                except OSError:
                    if not model.is_dir():  # else another process was first
                        raise
        return LocalModel(model, lease)

    def _make_room(self, needed: int) -> None:
        """Drop copies, those unused for longest first, until `needed` bytes fit or none is left."""
        found = sorted((_last_use(copy), copy) for copy in self._copies())
        sizes = {copy: _size(copy) for _, copy in found}
        excess = sum(sizes.values()) + needed - self.limit
        for used, copy in found:
            if used > time.time() - _LEAST_STAY:
                return
            # Of downloads that failed there is the mark alone.
            if (excess > 0 or not copy.is_dir()) and _drop(copy):
                excess -= sizes[copy]

    def _copies(self) -> set[Path]:
        """Those that are there, or have a mark; nothing else that may lie in the folder."""
        found = set()
        for entry in self.root.glob("*/*-*"):
            name = entry.name.removeprefix(".").removesuffix(_MARK)
            version, _, place = name.partition("-")
            if version.isdecimal() and placed_at(place) is not None:
                found.add(entry.with_name(name))
        return found


def _leased(model: Path) -> Lease:
    """A lease of the copy, whether it is there yet or not."""
    path = _mark(model)
    while True:
        # Not to be written: a cache may be prepared by another user.
        descriptor = os.open(path, os.O_CREAT | os.O_RDONLY, 0o644)
        lease = Lease(descriptor)
        lock(descriptor, wait=True, shared=True)
        if _is(descriptor, path):
            with suppress(OSError):
                os.utime(descriptor)
            return lease


def _drop(model: Path) -> bool:
    """Whether the copy was removed; not if anybody uses it."""
    path = _mark(model)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    except PermissionError:  # another user's
        return False
    try:
        if not lock(descriptor, wait=False) or not _is(descriptor, path):
            return False
        with locked(model.parent):
            discard(model)
        path.unlink()  # before it is unlocked: who waits for it sees that it is another's
    finally:
        os.close(descriptor)
    return True


def _is(descriptor: int, path: Path) -> bool:
    """Whether the file that was opened is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _mark(model: Path) -> Path:
    return model.with_name(f".{model.name}{_MARK}")


def _last_use(model: Path) -> float:
    for path in (_mark(model), model):  # copies of older releases have no mark
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0.0  # dropped meanwhile


def _size(model: Path) -> int:
    size = 0
    for place, _, names in os.walk(model):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(place, name).stat().st_size
    return size
