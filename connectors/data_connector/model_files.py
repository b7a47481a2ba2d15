"""A model's files in a folder of this machine: in the making, settled, and checked."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from data_connector.atomic import lock, sync_folder, write_errors
from data_connector.errors import CorruptSourceError, SourceUnreachableError, WriteError
from data_connector.model_catalogue import ModelFile

_UNFINISHED = ".unfinished-"


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """An empty folder inside of `folder`, for a model in the making.

    It is removed at the end of the block unless moved away; what a killed process left there goes
    with the next call.

    Raises:
        DiskFullError: no room.
        WriteError: no right to write there.
    """
    work = folder / f"{_UNFINISHED}{uuid4().hex}"
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Under the lock, so that nobody takes a folder for a leftover before it is locked.
        with locked(folder):
            remove_leftovers(folder)
            work.mkdir()
            owner = os.open(work / "owner", os.O_CREAT | os.O_RDWR, 0o644)
            lock(owner, wait=True)
    try:
        model = work / "model"
        with write_errors(folder):
            model.mkdir()
        yield model
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(owner)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time, of those that ask."""
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left behind; those at work hold their locks."""
    for work in folder.glob(f"{_UNFINISHED}*"):
        try:
            owner = os.open(work / "owner", os.O_RDWR)
        except FileNotFoundError:  # killed, or removed by its owner, between two steps
            shutil.rmtree(work, ignore_errors=True)
            continue
        try:
            if lock(owner, wait=False):
                shutil.rmtree(work, ignore_errors=True)
        finally:
            os.close(owner)


def discard(model: Path) -> None:
    """Remove a model's folder: at once out of sight, then piece by piece.

    A process that holds its files open keeps them. Call it under the lock of the folder around
    it: else another process could take the removal for a leftover, and remove it first.
    """
    work = model.with_name(f"{_UNFINISHED}{uuid4().hex}")
    work.mkdir()
    try:
        with suppress(FileNotFoundError):  # another process was first
            model.rename(work / "model")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def settle(model: Path) -> dict[str, ModelFile]:
    """A model's files, which from now on nobody may write to, and which are on the disk.

    Raises:
        WriteError: there is none, or something other than plain files.
    """
    files = {}
    for file in sorted(_files(model)):
        path = file.relative_to(model).as_posix()
        if file.is_symlink() or not file.is_file():
            raise WriteError(f"a model holds plain files only, got {path}")
        if not path.isprintable():  # nor would all stores take what is no Unicode
            raise WriteError(f"a model's file needs a printable name, got {path!r}")
        files[path] = _describe(file)
    if not files:
        raise WriteError("the model is empty: write left no file in its folder")
    keep(model)
    return files


def measure(model: Path) -> dict[str, ModelFile]:
    """The files of a version from before there were checksums; unreadable folders are errors."""
    return {
        file.relative_to(model).as_posix(): ModelFile(size=file.stat().st_size, sha256=None)
        for file in sorted(_files(model))
    }


def verify(model: Path, files: Mapping[str, ModelFile], *, title: str) -> None:
    """Check that a folder holds exactly these files.

    Args:
        model: the folder.
        files: what was published.
        title: of the model, for the error.

    Raises:
        CorruptSourceError: a file is missing, surplus, of another length, or altered; by name.
        SourceUnreachableError: no right to read it.
    """
    try:
        found = {file.relative_to(model).as_posix() for file in _files(model)}
    except FileNotFoundError:
        found = set()
    for path in sorted(found | files.keys()):
        if problem := _problem(model / path, files.get(path), there=path in found):
            raise CorruptSourceError(
                f"{title}: file {path!r} in {model} {problem}; restore it from a copy, or train "
                "and publish the model again"
            )


def _files(model: Path) -> Iterator[Path]:
    """Everything below a folder but folders; a link is no folder."""
    for place, folders, names in os.walk(model, onerror=_fail):
        for name in (*names, *(f for f in folders if Path(place, f).is_symlink())):
            yield Path(place, name)


def _fail(error: OSError) -> None:
    raise error


def keep(model: Path) -> None:
    """Take away the right to change a model's files, and bring them to the disk."""
    for file in _files(model):
        file.chmod(file.stat().st_mode & ~0o222)
        with file.open("rb") as content:
            os.fsync(content.fileno())
    for folder, _, _ in os.walk(model, topdown=False):
        sync_folder(Path(folder))


def _describe(file: Path) -> ModelFile:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        return ModelFile(size=content.tell(), sha256=digest)


def _problem(file: Path, expected: ModelFile | None, *, there: bool) -> str | None:
    if expected is None:
        return "does not belong to it"
    if not there:
        return "is missing"
    try:
        size = file.stat().st_size
        if size != expected.size:
            return f"has {size:,} bytes, not the {expected.size:,} published"
        if expected.sha256 is not None and _describe(file).sha256 != expected.sha256:
            return "was altered: its checksum is not the one published"
    except FileNotFoundError:
        return "is missing"
    except PermissionError as error:
        raise SourceUnreachableError(f"{file} may not be read: {error.strerror}") from error
    return None
