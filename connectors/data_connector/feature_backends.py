"""What the feature store asks of a database, and which module serves which URL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from data_connector.locations import Location
from data_connector.one_connection import Driver, backend_for

# Key, version, value.
Row = tuple[bytes, int, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some rows of all."""

    generation: int
    """The generation that they are from."""

    rows: list[Row]

    cursor: object | None
    """For the next page; None after the last."""


class FeatureBackend(Driver, Protocol):
    """A database with one feature store in it, through one connection.

    A *generation* is all that the store holds from one replacement to the next. Versions and
    generations are random numbers from 1 to 2**63 - 1.

    Every operation is done whole or not at all. Each may be repeated, with the same arguments,
    where its answer was lost, and then answers as it did or would have done.
    """

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """The rows of those keys that are there, all from one generation."""

    def put(self, rows: Sequence[Row], version: int) -> list[bytes]:
        """Write all values, each now of `version`, if every row's own version is still current.

        Otherwise write nothing, and return the keys whose version is another. A key that has
        `version` already is none of them: this write was done before. Rows are sorted by key.
        """

    def delete(self, keys: Sequence[bytes]) -> None:
        """Remove the keys. They are sorted."""

    def page(self, cursor: object | None, limit: int) -> Page:
        """About `limit` rows from where `cursor` stands; from the start for None."""

    def begin(self, generation: int) -> None:
        """Make it the one generation that is being built."""

    def build(self, generation: int, rows: Sequence[tuple[bytes, bytes]]) -> bool:
        """Add keys and values to it, of its number as version; False: it is not being built."""

    def swap(self, generation: int) -> bool:
        """Make it the generation that is read and written; False: it is not being built."""

    def abandon(self, generation: int) -> None:
        """Build it no longer."""

    def clean(self, limit: int) -> bool:
        """Remove about `limit` rows that no generation needs; False: none was left."""


# A scheme's backend.
_BACKENDS = {
    "sqlite": "data_connector.feature_sqlite:SqliteFeatures",
    "postgresql": "data_connector.feature_postgresql:PostgresqlFeatures",
    "redis": "data_connector.feature_redis:RedisFeatures",
    "rediss": "data_connector.feature_redis:RedisFeatures",
    "unix": "data_connector.feature_redis:RedisFeatures",
}


def feature_backend(location: Location, name: str) -> FeatureBackend:
    """The backend for the store `name` at `location`, not connected yet.

    Raises:
        UnsupportedSourceError: no backend serves its scheme.
    """
    return cast(FeatureBackend, backend_for("feature store", location, name, _BACKENDS))
