"""Named, versioned models in a folder. What a model is made of is the caller's business."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from data_connector.atomic import disk_errors, lock, sync_folder, write_errors
from data_connector.errors import ModelNotFoundError, UnsupportedSourceError, WriteError, listed
from data_connector.locations import file_path, scheme_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[1-9][0-9]*")
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredModel:
    """One version of a model."""

    name: str
    version: int
    """1, 2, 3, ... in the order of publication."""

    path: Path
    """The folder with the model's files; absolute, read only by agreement."""


class ModelStore:
    """Versions of models, each a folder `<root>/<name>/<version>` that never changes.

    Readers need no lock: a version is there whole or not at all. Publishers, in any number of
    processes and machines that share the disk's locks, each get a version of their own.

    Args:
        location: a path or a `file://` URL. The first `publish` creates the folder.

    Raises:
        UnsupportedSourceError: a URL of another scheme.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        text = os.fspath(location)
        scheme = scheme_of(text) if isinstance(location, str) else None
        if scheme not in (None, "file"):
            raise UnsupportedSourceError(
                f"no model store for {scheme}: URLs: give a folder's path or file:// URL"
            )
        if not text:
            raise UnsupportedSourceError("the model store's path is empty")
        self.root = (file_path(text) if scheme else Path(text)).absolute()

    def publish(self, name: str, write: Callable[[Path], object]) -> StoredModel:
        """The next version of model `name`, with the files that `write` makes.

        Args:
            name: letters, digits, `.`, `_` and `-`; starts with a letter or digit.
            write: gets an empty folder and fills it. Its own errors pass through, and leave no
                version behind.

        Raises:
            ValueError: a name with other characters in it.
            DiskFullError: no room.
            WriteError: no right to write there, or `write` left no files, or other than files.
        """
        folder = self.root / _checked(name)
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with _unfinished(folder) as unfinished:
            with disk_errors(folder):
                write(unfinished)
            with write_errors(folder):
                _settle(unfinished)
                with _locked(folder / ".lock"):
                    version = max(_versions(folder), default=0) + 1
                    path = folder / str(version)
                    unfinished.rename(path)
                sync_folder(folder)
        return StoredModel(name=name, version=version, path=path)

    def latest(self, name: str) -> StoredModel:
        """The newest version.

        Raises:
            ModelNotFoundError: there is none; the message lists the models that there are.
        """
        models = self.list(name)
        if not models:
            raise ModelNotFoundError(
                f"no model {name!r} in {self.root}; models there: {listed(self._names())}; "
                "train one first"
            )
        return models[-1]

    def get(self, name: str, version: int) -> StoredModel:
        """That version.

        Raises:
            ModelNotFoundError: it is not there; the message lists the versions that are.
        """
        models = self.list(name)
        for model in models:
            if model.version == version:
                return model
        there = listed(str(model.version) for model in models)
        raise ModelNotFoundError(
            f"no version {version} of model {name!r} in {self.root}; versions there: {there}"
        )

    def list(self, name: str) -> tuple[StoredModel, ...]:
        """All versions of a model, oldest first; none if there is no such model."""
        folder = self.root / _checked(name)
        return tuple(
            StoredModel(name=name, version=version, path=folder / str(version))
            for version in sorted(_versions(folder))
        )

    def _names(self) -> Iterator[str]:
        if self.root.is_dir():
            for folder in sorted(self.root.iterdir()):
                if _NAME.fullmatch(folder.name) and any(_versions(folder)):
                    yield folder.name


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a model's name has up to 100 letters, digits, '.', '_' and '-', and starts with a "
            f"letter or digit; got {name!r}"
        )
    return name


def _versions(folder: Path) -> Iterator[int]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in folder.iterdir():
            if _VERSION.fullmatch(entry.name) and entry.is_dir():
                yield int(entry.name)


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A folder for a model in the making: removed unless moved away, and locked by its owner."""
    work = folder / f"{_UNFINISHED}{uuid4().hex}"
    with write_errors(folder), _locked(folder / ".lock"):
        # Under the lock, so that nobody takes a folder for a leftover before it is locked.
        _remove_leftovers(folder)
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


def _remove_leftovers(folder: Path) -> None:
    """Remove what publishers left behind that were killed; those at work hold their locks."""
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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


def _settle(model: Path) -> None:
    """Check a model's files, take away the right to change them, and bring them to the disk."""
    files = 0
    for folder, _, names in os.walk(model, topdown=False):
        for name in names:
            file = Path(folder, name)
            if file.is_symlink() or not file.is_file():
                raise WriteError(f"a model holds plain files only, got {file.relative_to(model)}")
            file.chmod(file.stat().st_mode & ~0o222)
            with file.open("rb") as content:
                os.fsync(content.fileno())
            files += 1
        sync_folder(Path(folder))
    if not files:
        raise WriteError("the model is empty: write left no file in its folder")
