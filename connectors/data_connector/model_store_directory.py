"""Models in a folder: each version is a folder `<root>/<name>/<version>`, beside a catalogue.

The catalogue is written first, and names a version's number before its folder is there and after
it is gone. So a version is what the catalogue names *and* has a folder, and a process may be
killed between the two steps. Folders with numbers above the catalogue's last come from releases
that wrote no catalogue: they are versions too, of unknown checksums.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from data_connector.atomic import sync_folder, write_errors, written_whole
from data_connector.errors import SourceUnreachableError
from data_connector.model_cache import LocalModel
from data_connector.model_catalogue import Catalogue, Manifest
from data_connector.model_files import discard, locked, measure, remove_leftovers, staged, verify

_VERSION = re.compile(r"[1-9][0-9]*")
_CATALOGUE = ".catalogue.json"


@dataclass(frozen=True, slots=True)
class DirectoryModels:
    """A folder as a model store."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def names(self) -> list[str]:
        """The folders there."""
        if not self.root.is_dir():
            return []
        with _read_errors(self.root):
            return [entry.name for entry in self.root.iterdir() if entry.is_dir()]

    def read(self, name: str) -> Catalogue:
        """What is there; needs no lock."""
        home = self.root / name
        with _read_errors(home):
            # Folders first: one that comes to be meanwhile is in the catalogue by then.
            folders = set(_folders(home))
            catalogue = Catalogue()
            with suppress(FileNotFoundError, NotADirectoryError):
                text = (home / _CATALOGUE).read_bytes()
                catalogue = Catalogue.from_json(text, source=str(home / _CATALOGUE))
            versions = {n: m for n, m in catalogue.versions.items() if n in folders}
            for number in sorted(n for n in folders if n > catalogue.last):
                with suppress(FileNotFoundError):  # removed meanwhile
                    versions[number] = _old_manifest(home / str(number))
        last = max((catalogue.last, *folders))
        return replace(catalogue, last=last, versions=versions)

    def staged(self, name: str) -> AbstractContextManager[Path]:
        """A folder on the disk where the version will be."""
        return staged(self.root / name)

    def publish(self, name: str, folder: Path, manifest: Manifest) -> int:
        """Move the folder to its place, which makes it a version; its number."""
        home = self.root / name
        with write_errors(home), locked(home):
            catalogue = self.read(name).published(manifest)
            _write(home, catalogue)
            folder.rename(home / str(catalogue.last))
            sync_folder(home)
        return catalogue.last

    def change(self, name: str, edit: Callable[[Catalogue], Catalogue]) -> Catalogue:
        """Write the edited catalogue, and remove the folders of versions no longer in it."""
        home = self.root / name
        if not home.is_dir():
            return edit(Catalogue())
        with write_errors(home), locked(home):
            before = self.read(name)
            after = edit(before)
            if after != before:
                _write(home, after)
            for number in _folders(home):
                if number <= after.last and number not in after.versions:
                    discard(home / str(number))
        return after

    def sweep(self, name: str) -> None:
        """Remove what killed processes left."""
        home = self.root / name
        if home.is_dir():
            with write_errors(home), locked(home):
                remove_leftovers(home)

    def local(self, name: str, version: int, manifest: Manifest, *, title: str) -> LocalModel:
        """The version's folder, checked."""
        path = self.root / name / str(version)
        verify(path, manifest.files, title=title)
        return LocalModel(path)


@contextmanager
def _read_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SourceUnreachableError(f"{folder} may not be read: {error}") from error


def _write(home: Path, catalogue: Catalogue) -> None:
    with written_whole(home / _CATALOGUE, replace=True) as file:
        file.write(catalogue.to_json().encode())


def _folders(home: Path) -> Iterator[int]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in home.iterdir():
            if _VERSION.fullmatch(entry.name) and entry.is_dir():
                yield int(entry.name)


def _old_manifest(folder: Path) -> Manifest:
    moment = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return Manifest(published_at=moment, metrics={}, files=measure(folder), place="")
