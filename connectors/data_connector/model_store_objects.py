"""Models in object storage, which knows neither folders, nor renames, nor locks.

Below `<root>/<name>/`, the catalogue is a sequence of objects `catalogue/0000000001.json`, ...,
each the whole catalogue after one more change; the highest number holds. A change is made by
creating the next number *if it is not there yet*, the one thing that S3, Google and Azure each
promise to do for one writer only. Who comes second reads again and edits that. Garbage collection
leaves the last hundred: where one has vanished, a slow writer may create it once more, unseen by
all. So whoever finds a hundred others after its own says that it cannot tell whether it was seen.

A version's files lie below `files/<place>/`, written before the catalogue names them. Files that
no catalogue names were left by a killed process, or belong to one at work; a day tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import fsspec

from data_connector.atomic import disk_errors, write_errors
from data_connector.errors import (
    CommitUnknownError,
    SourceUnreachableError,
    UnsupportedSourceError,
    WriteError,
    is_disk_full,
)
from data_connector.locations import OBJECT_STORES
from data_connector.model_cache import LocalModel, ModelCache
from data_connector.model_catalogue import Catalogue, Manifest, placed_at
from data_connector.object_creation import cannot_create, write

_ABANDONED = timedelta(days=1)

# Each failed attempt means that another's change was made: far more than ever happen at once.
_ATTEMPTS = 100

# Catalogues that stay, with the one that holds.
_KEPT = 100

_ENTRY = re.compile(r"([0-9]{10})\.json")


def open_object_models(url: str, scheme: str, cache: ModelCache) -> ObjectModels:
    """The models below a URL.

    Args:
        url: `s3://bucket/path` or the like.
        scheme: the URL's.
        cache: for copies.

    Raises:
        UnsupportedSourceError: the scheme's file system is not installed, or promises too little.
    """
    if scheme not in OBJECT_STORES:
        raise UnsupportedSourceError(
            f"no model store for {scheme}: URLs: two publishers could overwrite each other there; "
            "give a folder's path, sqlite:// or postgresql://, or one of "
            f"{', '.join(OBJECT_STORES)}"
        )
    parts = urlsplit(url)
    secrets = tuple(filter(None, {parts.password, unquote(parts.password or "")}))
    shown = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
    try:
        files, root = fsspec.url_to_fs(url)
    except ImportError as error:
        raise UnsupportedSourceError(f"cannot open {shown}: {error}") from error
    except Exception as error:
        raise UnsupportedSourceError(_redacted(f"cannot open {shown}: {error}", secrets)) from None
    if problem := cannot_create(files, "pipe_file"):
        raise UnsupportedSourceError(f"cannot open {shown}: {problem}")
    return ObjectModels(files, root.rstrip("/"), shown, secrets, cache)


@dataclass(frozen=True, slots=True)
class ObjectModels:
    """Object storage as a model store."""

    files: Any
    root: str
    shown: str
    secrets: tuple[str, ...]
    cache: ModelCache

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"ObjectModels({self.shown})"

    def names(self) -> list[str]:
        """The names below the root."""
        return self._list(self.root)

    def read(self, name: str) -> Catalogue:
        """The catalogue of the highest number."""
        return self.read_numbered(name)[1]

    def staged(self, name: str) -> AbstractContextManager[Path]:
        """A folder in the cache."""
        return self.cache.staged(name)

    def publish(self, name: str, folder: Path, manifest: Manifest) -> int:
        """Upload the files, then enter the version; its number."""
        with self._errors():
            for path in manifest.files:
                self.files.put_file(str(folder / path), f"{self._place(name, manifest)}/{path}")
        if datetime.now(UTC) - manifest.published_at > _ABANDONED / 2:
            raise WriteError(
                f"the upload to {self} took over {_ABANDONED / 2}, and may pass for abandoned: "
                "publish again"
            )
        return self.change(name, lambda catalogue: catalogue.published(manifest)).last

    def change(self, name: str, edit: Callable[[Catalogue], Catalogue]) -> Catalogue:
        """Create the next catalogue, and delete the files of versions no longer in it."""
        for _ in range(_ATTEMPTS):
            number, before = self.read_numbered(name)
            after = edit(before)
            if after == before:
                return after
            if self._create(self._entry(name, number + 1), after):
                self._check_seen(name, number + 1)
                for version in before.versions.keys() - after.versions.keys():
                    self._delete(self._place(name, before.versions[version]))
                return after
        raise SourceUnreachableError(
            f"{self} refused {_ATTEMPTS} changes of model {name!r}, each as if another process had "
            "been first: check that nothing else writes there"
        )

    def sweep(self, name: str) -> None:
        """Delete the files of what was not finished for a day, and old catalogues."""
        numbers = self._numbers(name)
        for number in numbers:
            if number <= numbers[-1] - _KEPT:
                self._delete(self._entry(name, number))
        used = {manifest.place for manifest in self.read(name).versions.values()}
        for place in self._list(f"{self.root}/{name}/files"):
            started = placed_at(place)
            abandoned = started is not None and datetime.now(UTC) - started > _ABANDONED
            if abandoned and place not in used:
                self._delete(f"{self.root}/{name}/files/{place}")

    def local(self, name: str, version: int, manifest: Manifest, *, title: str) -> LocalModel:
        """A copy in the cache, checked."""
        return self.cache.copy(
            name,
            version,
            manifest,
            lambda folder: self._download(name, manifest, folder),
            title=title,
        )

    def _download(self, name: str, manifest: Manifest, folder: Path) -> None:
        for path in manifest.files:
            file = folder / path
            with write_errors(file):
                file.parent.mkdir(parents=True, exist_ok=True)
            # What is missing is told by name when the copy is checked.
            with disk_errors(file), self._errors(), suppress(FileNotFoundError):
                self.files.get_file(f"{self._place(name, manifest)}/{path}", str(file))

    def read_numbered(self, name: str) -> tuple[int, Catalogue]:
        """The catalogue that holds, and its number; 0 and an empty one without any."""
        for _ in range(_ATTEMPTS):
            number = max(self._numbers(name), default=0)
            if number == 0:
                return 0, Catalogue()
            path = self._entry(name, number)
            with self._errors():
                try:
                    text = self.files.cat_file(path)
                except FileNotFoundError:  # it has become an old one, and was deleted
                    continue
            return number, Catalogue.from_json(text, source=path)
        raise SourceUnreachableError(
            f"{self} lists catalogues of model {name!r} that it does not have: check its listings"
        )

    def _numbers(self, name: str) -> list[int]:
        """The numbers of the catalogues, sorted."""
        found = map(_ENTRY.fullmatch, self._list(f"{self.root}/{name}/catalogue"))
        return sorted(int(match[1]) for match in found if match)

    def _check_seen(self, name: str, number: int) -> None:
        """Check that nobody can have deleted this catalogue before it was created."""
        if max(self._numbers(name), default=0) >= number + _KEPT:
            raise CommitUnknownError(
                f"{self} had {_KEPT} changes of model {name!r} while this one was made, which may "
                "be lost: look before you repeat it"
            )

    def _create(self, path: str, catalogue: Catalogue) -> bool:
        """Whether the object was created with this catalogue; not if it was there before."""
        body = catalogue.to_json(change=uuid4().hex).encode()
        with self._errors():
            try:
                write(self.files, "pipe_file", path, body, create=True)
            except Exception:
                # Which error says that it was there differs. Or it is there because the answer
                # to our own request was lost, and the request repeated.
                try:
                    there = self.files.cat_file(path)
                except FileNotFoundError:
                    there = None
                if there is None:
                    raise
                return bool(there == body)
        return True

    def _delete(self, prefix: str) -> None:
        with self._errors(), suppress(FileNotFoundError):
            self.files.invalidate_cache()
            for path in self.files.find(prefix):
                self.files.rm_file(path)

    def _list(self, prefix: str) -> list[str]:
        with self._errors():
            try:
                self.files.invalidate_cache()  # other processes write there too
                paths = self.files.ls(prefix, detail=False)
            except FileNotFoundError:
                return []
        return [path.rstrip("/").rpartition("/")[2] for path in paths]

    def _entry(self, name: str, number: int) -> str:
        return f"{self.root}/{name}/catalogue/{number:010}.json"

    def _place(self, name: str, manifest: Manifest) -> str:
        return f"{self.root}/{name}/files/{manifest.place}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What a file system raises, of any kind, as this library's; not chained, for secrets."""
        try:
            yield
        except Exception as error:
            if is_disk_full(error):  # this machine's
                raise
            problem = _redacted(f"{type(error).__name__}: {error}", self.secrets)
            raise SourceUnreachableError(
                f"cannot use {self}: {problem}; check the URL, your rights there and the network"
            ) from None


def _redacted(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
