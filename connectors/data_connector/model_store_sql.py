"""Models in a database: a catalogue a model in one table, the files in pieces in another.

A version is published in one transaction, which locks the model's catalogue only at its end: so
the database itself keeps the promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from data_connector.atomic import write_errors
from data_connector.backends import open_backend
from data_connector.errors import QueryError, UnsupportedSourceError, WriteError
from data_connector.locations import DatabaseLocation
from data_connector.model_cache import LocalModel, ModelCache
from data_connector.model_catalogue import Catalogue, Manifest
from data_connector.sql import SqlBackend

# Bytes: few enough to hold in memory twice, enough that the cost a piece vanishes.
_PIECE = 1 << 20

# Seconds that SQLite waits while another publishes; `?timeout=` in the URL overrules it.
_SQLITE_TIMEOUT = "60"

# Others would want another schema, such as MySQL, which has no TEXT in a key.
_SCHEMES = ("postgresql", "sqlite")

_METADATA = sa.MetaData()
_MODELS = sa.Table(
    "model_store_models",
    _METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("catalogue", sa.Text, nullable=False),
)
_FILES = sa.Table(
    "model_store_files",
    _METADATA,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("piece", sa.Integer, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)


def open_sql_models(location: DatabaseLocation, cache: ModelCache) -> SqlModels:
    """The models in a database, which need not have the tables yet.

    Raises:
        UnsupportedSourceError: a database that no backend serves, or that is no SQL database.
    """
    if location.scheme == "sqlite" and "timeout" not in location.url.query:
        location = DatabaseLocation(location.url.update_query_dict({"timeout": _SQLITE_TIMEOUT}))
    backend = open_backend(location)
    if not isinstance(backend, SqlBackend) or location.scheme not in _SCHEMES:
        raise UnsupportedSourceError(
            f"no model store in {location.scheme} databases: give a folder, object storage, "
            "sqlite:// or postgresql://"
        )
    return SqlModels(backend, cache)


@dataclass(frozen=True, slots=True)
class SqlModels:
    """A database as a model store."""

    database: SqlBackend
    cache: ModelCache

    def __str__(self) -> str:
        return str(self.database.dialect.location)

    def names(self) -> list[str]:
        """The models that have a catalogue."""
        if not self._exists():
            return []
        with self.database.transaction(write=False) as connection:
            if not _has_tables(connection):
                return []
            return list(connection.execute(sa.select(_MODELS.c.name)).scalars())

    def read(self, name: str) -> Catalogue:
        """The model's row."""
        if not self._exists():
            return Catalogue()
        with self.database.transaction(write=False) as connection:
            return self._catalogue(connection, name) if _has_tables(connection) else Catalogue()

    def staged(self, name: str) -> AbstractContextManager[Path]:
        """A folder in the cache."""
        return self.cache.staged(name)

    def publish(self, name: str, folder: Path, manifest: Manifest) -> int:
        """Store the files and enter the version, in one transaction; its number."""
        self._create_tables()
        with self.database.transaction(write=True) as connection:
            for path in manifest.files:
                for number, piece in enumerate(_pieces(folder / path)):
                    row = {"path": path, "piece": number, "content": piece}
                    connection.execute(sa.insert(_FILES).values(place=manifest.place, **row))
            after = self._lock(connection, name).published(manifest)
            _store(connection, name, after)
        return after.last

    def change(self, name: str, edit: Callable[[Catalogue], Catalogue]) -> Catalogue:
        """Store the edited catalogue, and delete the files of versions no longer in it."""
        if not self.read(name).last:
            return edit(Catalogue())
        with self.database.transaction(write=True) as connection:
            before = self._lock(connection, name)
            after = edit(before)
            if after == before:
                return after
            _store(connection, name, after)
            for version, manifest in before.versions.items():
                if version not in after.versions:
                    connection.execute(sa.delete(_FILES).where(_FILES.c.place == manifest.place))
        return after

    def sweep(self, name: str) -> None:
        """Nothing: a transaction leaves nothing behind."""

    def local(self, name: str, version: int, manifest: Manifest, *, title: str) -> LocalModel:
        """A copy in the cache, checked."""
        return self.cache.copy(
            name,
            version,
            manifest,
            lambda folder: self._download(manifest, folder),
            title=title,
        )

    def _download(self, manifest: Manifest, folder: Path) -> None:
        # One statement, so that a version is read whole even while it is removed.
        pieces = (
            sa.select(_FILES.c.path, _FILES.c.piece, _FILES.c.content)
            .where(_FILES.c.place == manifest.place)
            .order_by(_FILES.c.path, _FILES.c.piece)
        )
        with self.database.transaction(write=False) as connection:
            rows = connection.execution_options(yield_per=1).execute(pieces)
            for path, _, content in rows:
                if path in manifest.files:  # no other leads into the folder for certain
                    file = folder / path
                    with write_errors(file):
                        file.parent.mkdir(parents=True, exist_ok=True)
                        with file.open("ab") as opened:
                            opened.write(content)

    def _exists(self) -> bool:
        """Whether there is a database; SQLite's file comes with the first version."""
        url = self.database.dialect.location.url
        return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()

    def _create_tables(self) -> None:
        for last_try in (False, True):
            try:
                with self.database.transaction(write=True) as connection:
                    _METADATA.create_all(connection)
                return
            except (QueryError, WriteError):
                # Another process created them at the same time: then they are there by now.
                if last_try:
                    raise

    def _lock(self, connection: sa.Connection, name: str) -> Catalogue:
        """The catalogue, which until the transaction's end nobody else can change."""
        connection.execute(
            sa.text(
                f"INSERT INTO {_MODELS.name} (name, catalogue) VALUES (:name, :catalogue)"  # noqa: S608
                " ON CONFLICT DO NOTHING"
            ),
            {"name": name, "catalogue": Catalogue().to_json()},
        )
        return self._catalogue(connection, name, lock=True)

    def _catalogue(self, connection: sa.Connection, name: str, *, lock: bool = False) -> Catalogue:
        row = sa.select(_MODELS.c.catalogue).where(_MODELS.c.name == name)
        text = connection.execute(row.with_for_update() if lock else row).scalar()
        if text is None:
            return Catalogue()
        return Catalogue.from_json(text, source=f"{self}, table {_MODELS.name}, model {name!r}")


def _store(connection: sa.Connection, name: str, catalogue: Catalogue) -> None:
    row = sa.update(_MODELS).where(_MODELS.c.name == name)
    connection.execute(row.values(catalogue=catalogue.to_json()))


def _has_tables(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table(_MODELS.name)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        yield content.read(_PIECE)  # of an empty file too
        while piece := content.read(_PIECE):
            yield piece
