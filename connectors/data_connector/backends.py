"""What a backend is, and which one serves which URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

from data_connector.drivers import imported
from data_connector.errors import TableNotFoundError, UnsupportedSourceError
from data_connector.locations import OBJECT_SCHEMES, Location
from data_connector.ranges import KeyRange

if TYPE_CHECKING:
    import pyarrow as pa

    from data_connector.observe import Watched
    from data_connector.streams import OwningReader

IfExists = Literal["fail", "append", "replace", "upsert"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a backend can do. `fetch` and `load` refuse the rest; the shared tests read it."""

    many_tables: bool
    """Holds tables by name; otherwise it is one table."""

    queries: bool
    """Answers SQL."""

    keeps_types: bool
    """Knows its columns' types; otherwise the reader guesses, unless given a schema."""

    keeps_bytes: bool
    """Holds columns of bytes, and not text alone."""

    upserts: bool
    """Updates rows by their key; otherwise `load` refuses `upsert`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What to read. At most one of `table` and `query` is set; neither means the only table."""

    table: str | None
    query: str | None
    columns: tuple[str, ...] | None
    schema: pa.Schema | None
    batch_rows: int
    ranges: tuple[KeyRange, ...] = ()
    """Only rows that lie in all of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Where to write, and what becomes of the rows there."""

    table: str | None
    if_exists: IfExists
    key: tuple[str, ...]
    """The columns that tell rows apart; none unless `if_exists` is `upsert`."""


class Backend(Protocol):
    """One kind of source and target, opened on one location."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def tables(self) -> list[str]:
        """The names of the tables and views there, sorted."""

    def fetch(self, request: Request) -> OwningReader:
        """A reader whose batches have at most `request.batch_rows` rows."""

    def load(self, data: Watched, order: Order) -> int:
        """Write all rows or none; how many."""


# A scheme's backend: imported when first used, so that no one pays for a driver unasked.
_BACKENDS = {
    "file": "data_connector.files:open_files",
    **dict.fromkeys(OBJECT_SCHEMES, "data_connector.objects:open_objects"),
    "duckdb": "data_connector.duckdb_files:open_duckdb",
    "mariadb": "data_connector.mysql:open_mysql",
    "mysql": "data_connector.mysql:open_mysql",
    "sqlite": "data_connector.sqlite:open_sqlite",
    "postgresql": "data_connector.postgresql:open_postgresql",
}


def open_backend(location: Location) -> Backend:
    """The backend for `location`, which may not exist yet.

    Raises:
        UnsupportedSourceError: no backend serves its scheme or file type, or the driver that it
            needs is not installed.
    """
    target = _BACKENDS.get(location.scheme)
    if target is None:
        raise UnsupportedSourceError(
            f"no backend for {location.scheme}:// URLs; there are backends for: "
            f"{', '.join(sorted(_BACKENDS))}"
        )
    return cast(Backend, imported(target, location.scheme)(location))


def choose_table(available: list[str], table: str | None) -> str:
    """The table to read: the one asked for, or the only one there.

    Raises:
        TableNotFoundError: it is not there, or there are several and none was asked for.
    """
    if table is None and len(available) == 1:
        return available[0]
    if table is None:
        problem = "say which table with table=" if available else "the source holds no table"
        raise TableNotFoundError(problem, available=available)
    if table not in available:
        raise TableNotFoundError(f"no table {table!r}", available=available)
    return table
