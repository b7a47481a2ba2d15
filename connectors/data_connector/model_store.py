"""Named, versioned models behind a URL. What a model is made of is the caller's business."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from data_connector.atomic import disk_errors, write_errors
from data_connector.errors import (
    AliasConflictError,
    CorruptSourceError,
    ModelNotFoundError,
    listed,
)
from data_connector.locations import DatabaseLocation, FileLocation, parse, scheme_of, where_kept
from data_connector.model_cache import LocalModel, ModelCache
from data_connector.model_catalogue import (
    Catalogue,
    Manifest,
    Metric,
    ModelFile,
    checked_metrics,
    new_manifest,
)
from data_connector.model_files import settle
from data_connector.model_store_directory import DirectoryModels

if TYPE_CHECKING:
    from sqlalchemy import URL

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# By the database's name: any other scheme is object storage.
_DATABASES = ("duckdb", "mysql", "mariadb", "postgresql", "sqlite")


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """One version of a model."""

    name: str
    version: int
    """1, 2, 3, ... in the order of publication; some may be left out."""

    published_at: datetime
    """In UTC, by the publisher's clock."""

    metrics: Mapping[str, Metric] = field(hash=False)
    """What the publisher said of it."""

    files: Mapping[str, ModelFile] = field(hash=False)
    """Sizes and checksums, by path inside the model."""

    _open: Callable[[], LocalModel] = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def path(self) -> Path:
        """The folder with the model's files on this machine; absolute, read only by agreement.

        The first use reads all files to check them against their checksums, and fetches them
        before that where the store is no folder. What is fetched stays for an hour at least, and
        as long as any process has this object.

        Raises:
            CorruptSourceError: a file is damaged, cut short, missing or surplus; by name.
            ModelNotFoundError: it was removed meanwhile.
            DiskFullError: no room for a copy.
            ConnectorError: the store cannot be reached, or the copy not be written.
        """
        return self._local.path

    @cached_property
    def _local(self) -> LocalModel:
        return self._open()


class _Models(Protocol):
    """One kind of store, opened. Its `str` says where it lies, without secrets."""

    def names(self) -> list[str]:
        """Names, among which are those of all models."""

    def read(self, name: str) -> Catalogue:
        """The catalogue as it is now; an empty one if there is none."""

    def staged(self, name: str) -> AbstractContextManager[Path]:
        """An empty folder for a version in the making."""

    def publish(self, name: str, folder: Path, manifest: Manifest) -> int:
        """Make the staged folder's files the next version, whole or not at all; its number."""

    def change(self, name: str, edit: Callable[[Catalogue], Catalogue]) -> Catalogue:
        """The catalogue as edited, which is the one that holds now.

        Nobody else's change comes between what `edit` gets and what it returns: it is called
        again if one would. Files of versions that it leaves out are removed.
        """

    def sweep(self, name: str) -> None:
        """Remove what killed processes left."""

    def local(self, name: str, version: int, manifest: Manifest, *, title: str) -> LocalModel:
        """A folder of this machine with the version's files, checked."""


class ModelStore:
    """Versions of models, which never change, and aliases, which point to them.

    Readers see a version whole or not at all. Publishers, in any number of processes, each get a
    version of their own, whose number no other ever had.

    Args:
        location: a folder's path or `file://` URL (on a disk with working locks); a SQLAlchemy
            URL of SQLite or PostgreSQL; or the URL of a folder in object storage: `s3://`,
            `gs://`, `abfs://`, of which s3fs, gcsfs or adlfs must be installed. The first
            `publish` creates what is missing: a folder, tables.
        cache: where this machine keeps copies of models from databases and object storage;
            between uses it may be deleted. By default `$XDG_CACHE_HOME/fraud-detect/models`, or
            below `~/.cache`.
        cache_limit: bytes. Before one more copy is made, those unused for longest are dropped
            until all fit, but none that is in use, nor was opened within the last hour.

    Raises:
        ValueError: `cache_limit` is negative.
        UnsupportedSourceError: a URL of another scheme, or one that cannot be read.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | URL,
        *,
        cache: str | os.PathLike[str] | None = None,
        cache_limit: int = 10_000_000_000,
    ) -> None:
        if cache_limit < 0:
            raise ValueError(f"cache_limit must not be negative, got {cache_limit=}")
        folder = _default_cache() if cache is None else Path(cache)
        self._models = _open_models(location, ModelCache(folder.absolute(), cache_limit))

    def __repr__(self) -> str:
        return f"ModelStore({str(self._models)!r})"

    def publish(
        self,
        name: str,
        write: Callable[[Path], object],
        *,
        metrics: Mapping[str, Metric] | None = None,
    ) -> StoredModel:
        """The next version of model `name`, with the files that `write` makes.

        Args:
            name: letters, digits, `.`, `_` and `-`; starts with a letter or digit.
            write: gets an empty folder and fills it. Its own errors pass through, and leave no
                version behind. Only files are kept, not empty folders.
            metrics: finite numbers and texts to tell versions apart by, such as
                `{"average_precision": 0.71}`.

        Raises:
            ValueError: a name with other characters in it, or a metric that JSON cannot hold.
            DiskFullError: no room.
            WriteError: no right to write there, or `write` left no files, or other than files.
            ConnectorError: the store cannot be reached.
        """
        checked = checked_metrics(metrics or {})
        with self._models.staged(_checked(name)) as folder:
            with disk_errors(folder):
                write(folder)
            with write_errors(folder):
                files = settle(folder)
            manifest = new_manifest(files, checked)
            version = self._models.publish(name, folder, manifest)
        return self._model(name, version, manifest)

    def latest(self, name: str) -> StoredModel:
        """The newest version.

        Raises:
            ModelNotFoundError: there is none; the message lists the models that there are.
            ConnectorError: the store cannot be reached or read.
        """
        models = self.list(name)
        if not models:
            raise self._no_model(name)
        return models[-1]

    def get(self, name: str, version: int) -> StoredModel:
        """That version.

        Raises:
            ModelNotFoundError: it is not there; the message lists the versions that are.
            ConnectorError: the store cannot be reached or read.
        """
        catalogue = self._models.read(_checked(name))
        self._check_version(name, version, catalogue)
        return self._model(name, version, catalogue.versions[version])

    def resolve(self, name: str, alias: str) -> StoredModel:
        """The version that the alias points to.

        Raises:
            ModelNotFoundError: there is no such alias, and the message lists those there are; or
                its version was deleted by hand.
            ConnectorError: the store cannot be reached or read.
        """
        catalogue = self._models.read(_checked(name))
        version = catalogue.aliases.get(alias)
        if version is None:
            raise ModelNotFoundError(
                f"no alias {alias!r} of model {name!r} in {self._models}; aliases there: "
                f"{listed(sorted(catalogue.aliases))}; set it with set_alias"
            )
        self._check_version(name, version, catalogue)
        return self._model(name, version, catalogue.versions[version])

    def list(self, name: str) -> tuple[StoredModel, ...]:
        """All versions of a model, oldest first; none if there is no such model.

        Raises:
            ConnectorError: the store cannot be reached or read.
        """
        versions = self._models.read(_checked(name)).versions
        return tuple(self._model(name, number, versions[number]) for number in sorted(versions))

    def names(self) -> tuple[str, ...]:
        """The names of all models, sorted.

        Raises:
            ConnectorError: the store cannot be reached or read.
        """
        names = filter(_NAME.fullmatch, self._models.names())
        return tuple(sorted(name for name in names if self._models.read(name).versions))

    def aliases(self, name: str) -> dict[str, int]:
        """The version of each alias of a model.

        Raises:
            ConnectorError: the store cannot be reached or read.
        """
        return dict(sorted(self._models.read(_checked(name)).aliases.items()))

    def set_alias(
        self,
        name: str,
        alias: str,
        version: int | None,
        *,
        expected: int | Literal["any"] | None = "any",
    ) -> None:
        """Point an alias, such as `champion` or `challenger`, to a version.

        Args:
            name: of the model.
            alias: of the same characters as a model's name.
            version: the version, or None to take the alias away.
            expected: where the alias must point until now, None for nowhere; so that of two who
                promote at once, the second does not undo the first unaware.

        Raises:
            AliasConflictError: it points elsewhere than expected.
            ModelNotFoundError: there is no such version; the message lists those there are.
            ValueError: an alias with other characters in it.
            ConnectorError: the store cannot be reached or written.
        """
        _checked(alias, "an alias")

        def edit(catalogue: Catalogue) -> Catalogue:
            if version is not None:
                self._check_version(name, version, catalogue)
            current = catalogue.aliases.get(alias)
            if expected not in ("any", current):
                raise AliasConflictError(
                    f"alias {alias!r} of model {name!r} in {self._models} points to "
                    f"{_shown(current)}, not to {_shown(expected)} as expected: another was "
                    "promoted meanwhile; compare with that one",
                    current=current,
                )
            return catalogue.pointed(alias, version)

        self._models.change(_checked(name), edit)

    def collect_garbage(self, name: str, *, keep_last: int) -> tuple[int, ...]:
        """The versions that were removed: all but the newest ones and those with an alias.

        A reader that has a model's files open keeps them. One that has asked for a version but
        not yet opened it gets a `ModelNotFoundError`. Numbers of removed versions do not return.

        Args:
            name: of the model.
            keep_last: how many of the newest versions stay.

        Raises:
            ValueError: `keep_last` is below 1.
            ConnectorError: the store cannot be reached or written.
        """
        if keep_last < 1:
            raise ValueError(f"keep_last must be positive, got {keep_last=}")
        removed: set[int] = set()

        def edit(catalogue: Catalogue) -> Catalogue:
            nonlocal removed
            kept = catalogue.collected(keep_last)
            removed = catalogue.versions.keys() - kept.versions.keys()
            return kept

        self._models.change(_checked(name), edit)
        self._models.sweep(name)
        return tuple(sorted(removed))

    def _model(self, name: str, version: int, manifest: Manifest) -> StoredModel:
        return StoredModel(
            name=name,
            version=version,
            published_at=manifest.published_at,
            metrics=manifest.metrics,
            files=manifest.files,
            _open=partial(self._local, name, version, manifest),
        )

    def _local(self, name: str, version: int, manifest: Manifest) -> LocalModel:
        title = f"version {version} of model {name!r} in {self._models}"
        try:
            return self._models.local(name, version, manifest, title=title)
        except CorruptSourceError:
            if version in self._models.read(name).versions:
                raise
            raise ModelNotFoundError(
                f"{title} was removed since it was looked up: take the latest one, or give those "
                "in use an alias, which keeps them"
            ) from None

    def _no_model(self, name: str) -> ModelNotFoundError:
        return ModelNotFoundError(
            f"no model {name!r} in {self._models}; models there: {listed(self.names())}; "
            "train one first"
        )

    def _check_version(self, name: str, version: int, catalogue: Catalogue) -> None:
        if version not in catalogue.versions:
            there = listed(str(number) for number in sorted(catalogue.versions))
            raise ModelNotFoundError(
                f"no version {version} of model {name!r} in {self._models}; versions there: {there}"
            )


def _open_models(location: str | os.PathLike[str] | URL, cache: ModelCache) -> _Models:
    if isinstance(location, str):
        location = where_kept(location)
    scheme = scheme_of(location) if isinstance(location, str) else None
    if scheme not in (None, "file") and scheme.partition("+")[0] not in _DATABASES:
        from data_connector.model_store_objects import open_object_models

        return open_object_models(str(location), scheme, cache)
    place = parse(location)
    if isinstance(place, FileLocation):
        return DirectoryModels(place.path.absolute())
    from data_connector.model_store_sql import open_sql_models

    return open_sql_models(cast(DatabaseLocation, place), cache)


def _default_cache() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "fraud-detect" / "models"


def _checked(name: str, what: str = "a model's name") -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} has up to 100 letters, digits, '.', '_' and '-', and starts with a "
            f"letter or digit; got {name!r}"
        )
    return name


def _shown(version: object) -> str:
    return "no version" if version is None else f"version {version}"
