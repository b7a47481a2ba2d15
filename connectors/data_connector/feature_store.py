"""The running state from which online features come: values by key, shared by many processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import AnyStr, cast

from data_connector.errors import (
    ConflictError,
    ConnectorError,
    OutcomeUnknownError,
    StoreReplacedError,
)
from data_connector.feature_backends import FeatureBackend, Row, feature_backend
from data_connector.locations import DatabaseLocation, parse
from data_connector.one_connection import MAX_NUMBER, OneConnection, check_name, random_number

_LONGEST_KEY = 512  # bytes; PostgreSQL's index takes up to 2,700

# A transaction while a generation is built: others wait that long to write.
_BATCH_ROWS = 1_000
_BATCH_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A value and its version."""

    value: bytes
    version: int
    """As read: the value's own; every write gives another, in no order. To write: the version of
    the value that this one takes the place of, 0 where there is none."""


def open_feature_store(url: str, *, name: str = "features") -> FeatureStore:
    """The feature store at `url`; what is missing of it is created.

    Args:
        url: `sqlite:///file.db`, `postgresql://...`, or for Redis `redis://...`, `rediss://...` or
            `unix:///path/of/socket`.
        name: several stores may share a database: a lower-case letter, then up to 39 lower-case
            letters, digits and `_`.

    Raises:
        ValueError: a name with other characters in it.
        UnsupportedSourceError: a URL of another kind.
        SourceNotFoundError: no such folder or database.
        SourceUnreachableError: the server refused or did not answer, or the file is in use.
        CorruptSourceError: what is there is no feature store, or one of another version.
    """
    check_name("feature store", name)
    location = parse(url)
    backend = feature_backend(location, name)
    # Only databases have a backend.
    return FeatureStore(backend, cast(DatabaseLocation, location))


class FeatureStore(OneConnection[FeatureBackend]):
    """Values by key, through one connection a process; `open_feature_store` makes one.

    Keys are text (its UTF-8) or bytes, 1 to 512 of them. Values are bytes, which the store does
    not look into. Threads may share a store, and take turns. A fork closes the connection before
    and opens one on each side when next used.

    A connection that is lost is opened again, once a call, and the call repeated: no call does
    harm when it is done twice.
    """

    def get_many(self, keys: Iterable[AnyStr]) -> dict[AnyStr, Stored]:
        """The values of those `keys` that are there, as of one moment.

        Args:
            keys: all text or all bytes.

        Raises:
            ValueError: a key that is none, or the store is closed.
            ConnectorError: the database cannot be read.
        """
        asked = _encoded(keys)
        if not asked:
            return {}
        rows = self._call(partial(self._backend.get, list(asked)))
        return {asked[key]: Stored(value, version) for key, version, value in rows}

    def put_many(self, items: Mapping[AnyStr, Stored]) -> int:
        """Write all `items` or none; the version that all of them have now.

        Nothing is written if the version of any key is not the one given with it. A transaction
        changes the state of its customer and of its terminal: were one written and the other not,
        to repeat would count the transaction twice. So read again, compute again, put again:
        whenever one put fails so, another has succeeded.

        Args:
            items: by key, the value to write and the version that was read; 0 for a key that
                was not there.

        Raises:
            ValueError: a key or version that is none, or the store is closed.
            ConflictError: others wrote, deleted or replaced in the meantime; its `keys` are those
                that they did it to. Nothing was written.
            OutcomeUnknownError: the connection was lost in between, and either there is no other
                yet, or others have written all the keys since. If this was written, the keys had
                its `version` until then.
            WriteError: the database refused. Nothing was written; `DiskFullError`: for want of
                room.
            ConnectorError: the database cannot be written. Nothing was written.
        """
        given = _encoded(items)
        rows = [(key, items[given[key]].version, items[given[key]].value) for key in sorted(given)]
        for key, of, value in rows:
            if not 0 <= of <= MAX_NUMBER:
                raise ValueError(f"key {key!r}: no version: {of}; give the one read, or 0")
            _check_value(key, value)
        version = random_number()
        if not rows:
            return version
        attempts = 0

        def put() -> list[bytes]:
            nonlocal attempts
            attempts += 1
            return self._backend.put(rows, version)

        conflicts = self._call(put, unknown=partial(self._unknown, version))
        if conflicts and not (attempts > 1 and self._was_done(rows, version)):
            raise ConflictError(
                "others wrote since these were read, nothing was written: read them again",
                keys=[given[key] for key in conflicts],
            )
        return version

    def delete_many(self, keys: Iterable[AnyStr]) -> None:
        """Remove `keys`, whatever their versions; those that are not there, too.

        A put with a version from before then fails, and brings nothing back.

        Raises:
            ValueError: a key that is none, or the store is closed.
            ConnectorError: the database cannot be written; or the connection was lost, and some
                may be removed: repeat.
        """
        if given := _encoded(keys):
            self._call(partial(self._backend.delete, sorted(given)))

    def items(self, *, batch: int = 1_000) -> Iterator[tuple[bytes, Stored]]:
        """All keys and values, while others read and write.

        What is there from the first to the last comes once, with its value of some moment between;
        what is put or deleted in the meantime may come or not. In Redis the keys are remembered.

        Args:
            batch: keys to read at a time; as many values are in memory.

        Raises:
            ValueError: `batch` is not positive, or the store is closed.
            StoreReplacedError: `replace_all` replaced what was being read: start again.
            ConnectorError: the database cannot be read.
        """
        if batch < 1:
            raise ValueError(f"batch must be positive, got {batch=}")
        return self._items(batch)

    def replace_all(self, items: Iterable[tuple[AnyStr, bytes]]) -> int:
        """Replace all that the store holds; the version that all keys have then.

        The new values are gathered aside, in the database, while others read and write the old
        ones. Then they take their place at one moment, and a put with an older version fails: what
        others wrote while this ran is gone with the rest. Of several at once, the one that
        started last succeeds. What a killed one leaves aside is removed by the next.

        Args:
            items: keys and values, read once; of a key that comes twice the last value counts.
                Its own errors pass through, and the store is as it was.

        Raises:
            ValueError: a key that is none, or the store is closed.
            StoreReplacedError: another `replace_all` began later. Nothing was replaced by this.
            OutcomeUnknownError: the connection was lost at the last step. All keys have its
                `version` if the replacement was done.
            WriteError: the database refused, and the store is as it was.
            ConnectorError: the database cannot be written, and the store is as it was.
        """
        generation = random_number()
        self._call(partial(self._backend.begin, generation))
        try:
            self._clean()
            for rows in _batches(items):
                _only_one(self._call(partial(self._backend.build, generation, rows)))
            swap = partial(self._backend.swap, generation)
            _only_one(self._call(swap, unknown=partial(self._unknown, generation)))
        except BaseException:
            with suppress(ConnectorError):  # the first error tells more
                self._call(partial(self._backend.abandon, generation))
                self._clean()
            raise
        # It is done; what is left of the old generation goes with the next if not now.
        with suppress(ConnectorError):
            self._clean()
        return generation

    def _items(self, batch: int) -> Iterator[tuple[bytes, Stored]]:
        page = self._call(partial(self._backend.page, None, batch))
        generation = page.generation
        while page.generation == generation:
            for key, version, value in page.rows:
                yield key, Stored(value, version)
            if page.cursor is None:
                return
            page = self._call(partial(self._backend.page, page.cursor, batch))
        raise StoreReplacedError(f"{self._location} was replaced while it was read: start again")

    def _was_done(self, rows: list[Row], version: int) -> bool:
        """Whether a put that found conflicts when it was repeated had been done before.

        Then others have written over some of it, and otherwise before it.
        """
        there = self._call(partial(self._backend.get, [key for key, _, _ in rows]))
        found = {key: of for key, of, _ in there}
        if version in found.values():
            return True
        # No version comes twice, so that a key that still has its old one never had ours.
        if any(of != 0 and found.get(key) == of for key, of, _ in rows):
            return False
        raise self._unknown(version, "and others have written since")

    def _clean(self) -> None:
        while self._call(partial(self._backend.clean, _BATCH_ROWS)):
            pass

    def _unknown(self, version: int, since: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"the connection to {self._location} was lost during a write, {since}; read the keys "
            f"again: if any has version {version}, the write was done",
            version=version,
        )


def _encoded(keys: Iterable[AnyStr]) -> dict[bytes, AnyStr]:
    """The keys by their bytes."""
    if isinstance(keys, str | bytes):
        raise ValueError(f"give a list of keys, not the key {keys!r} alone")
    return {_key(key): key for key in keys}


def _key(key: str | bytes) -> bytes:
    encoded = key.encode() if isinstance(key, str) else key
    if not 0 < len(encoded) <= _LONGEST_KEY:
        raise ValueError(f"a key has 1 to {_LONGEST_KEY} bytes, got {len(encoded):,}: {key[:40]!r}")
    return encoded


def _check_value(key: bytes, value: bytes) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"key {key!r}: a value is bytes, got {type(value).__name__}")


def _batches(items: Iterable[tuple[AnyStr, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """The items in lists, bounded in rows and bytes; no key twice in one."""
    batch: dict[bytes, bytes] = {}
    size = 0
    for given, value in items:
        key = _key(given)
        _check_value(key, value)
        batch[key] = value
        size += len(value)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield list(batch.items())
            batch, size = {}, 0
    if batch:
        yield list(batch.items())


def _only_one(building: bool) -> None:  # noqa: FBT001 - what a backend answered
    if not building:
        raise StoreReplacedError(
            "another replace_all began after this one, which changed nothing: let one run at a time"
        )
