"""Files as sources and targets: what all formats share. A format of its own is a `Format`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
from pyarrow import fs

from data_connector.arrow_types import append_schema, cast_batch
from data_connector.atomic import written_whole
from data_connector.backends import Capabilities, Order, Request, choose_table
from data_connector.errors import (
    ColumnNotFoundError,
    CorruptSourceError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreachableError,
    TargetExistsError,
    UnsupportedSourceError,
)
from data_connector.locations import FileLocation
from data_connector.observe import Watched
from data_connector.ranges import KeyRange, check_ranges, in_ranges, with_keys
from data_connector.streams import OwningReader, regrouped

# Rows held at a time while a file is copied to be appended to.
_COPIED_ROWS = 65_536


class Place(Protocol):
    """Where a file lies, or a folder of them; its text holds no secret."""

    @property
    def files(self) -> fs.FileSystem:
        """What Arrow reads it with."""

    @property
    def path(self) -> str:
        """Its path in `files`."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def is_remote(self) -> bool:
        """Whether each read is a request, so that a few large ones are better."""

    def exists(self) -> bool:
        """Whether a file or a folder is there."""

    def is_dir(self) -> bool:
        """Whether a folder is there."""

    def unchanged(self, path: str) -> AbstractContextManager[None]:
        """Raise `SourceUnreachableError` if the block read parts of different files at `path`."""

    def redact(self, text: str) -> str:
        """`text` without secrets."""

    def check_writable(self, *, replace: bool) -> None:
        """Raise `UnsupportedSourceError` if `written_whole` cannot keep its promise."""

    def written_whole(self, *, replace: bool) -> AbstractContextManager[BinaryIO]:
        """A new file that takes its place when the block ends, and vanishes if it fails."""


class Format(Protocol):
    """What differs from format to format."""

    @property
    def keeps_types(self) -> bool:
        """Whether a file knows its columns' types."""

    @property
    def keeps_bytes(self) -> bool:
        """Whether a file holds columns of bytes."""

    def schema(self, place: Place, given: pa.Schema | None) -> pa.Schema:
        """The file's schema, with the types that the caller gave for it."""

    def batches(
        self,
        place: Place,
        schema: pa.Schema,
        batch_rows: int,
        ranges: Sequence[KeyRange] = (),
    ) -> Iterator[pa.RecordBatch]:
        """The columns of `schema`, in batches of any size up to `batch_rows`.

        Rows outside of the ranges may be left out, those within never. May raise
        `pyarrow.ArrowException`, `OSError` and `SchemaMismatchError`.
        """

    def write(self, file: BinaryIO, data: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        """Write all batches, and leave the file open."""

    def check_storable(self, field: pa.Field) -> None:
        """Raise `pyarrow.ArrowException` if no file of this format can hold the column."""


def open_files(location: FileLocation) -> FileBackend:
    """The backend for a file of this machine, by its name; a folder holds Parquet files."""
    place = LocalFile(location.path)
    return FileBackend(place, format_of(place))


def format_of(place: Place) -> Format:
    """The format that the name tells; a folder holds Parquet files.

    Raises:
        SourceNotFoundError: the name tells none, and nothing is there.
        UnsupportedSourceError: the name tells none.
    """
    name = place.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        from data_connector.csv_files import CsvFormat

        return CsvFormat(compressed=name.endswith(".gz"))
    if name.endswith((".parquet", ".pq")) or place.is_dir():
        from data_connector.parquet_files import ParquetFormat

        return ParquetFormat()
    suffix = Path(name).suffix
    if not suffix and not place.exists():
        raise SourceNotFoundError(f"no file or folder {place}: check the path")
    hint = (
        f"; for a SQLite database write sqlite:///{place}"
        if not place.is_remote and ("db" in suffix or "sql" in suffix)
        else ""
    )
    raise UnsupportedSourceError(
        f"cannot tell the format of {place}: name it .parquet, .csv or .csv.gz{hint}"
    )


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file, or a folder of files, of this machine."""

    file: Path
    is_remote: bool = False

    def __str__(self) -> str:
        return str(self.file)

    @property
    def files(self) -> fs.FileSystem:
        """The disk."""
        return fs.LocalFileSystem()

    @property
    def path(self) -> str:
        """As it was given."""
        return str(self.file)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.file.name

    def exists(self) -> bool:
        """Whether a file or a folder is there."""
        return self.file.exists()

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        return self.file.is_dir()

    def unchanged(self, path: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """An open file stays what it is, whatever takes its name."""
        return nullcontext()

    def redact(self, text: str) -> str:
        """`text`: a path holds no secret."""
        return text

    def check_writable(self, *, replace: bool) -> None:
        """Every disk can."""

    def written_whole(self, *, replace: bool) -> AbstractContextManager[BinaryIO]:
        """See `atomic.written_whole`."""
        return written_whole(self.file, replace=replace)


@dataclass(frozen=True, slots=True)
class FileBackend:
    """One file, or one folder of them, as one table."""

    place: Place
    format: Format

    @property
    def capabilities(self) -> Capabilities:
        """What a file can do."""
        return Capabilities(
            many_tables=False,
            queries=False,
            keeps_types=self.format.keeps_types,
            keeps_bytes=self.format.keeps_bytes,
            upserts=False,
        )

    def tables(self) -> list[str]:
        """The name of the one table: the file's, without its suffixes."""
        if not self.place.exists():
            raise SourceNotFoundError(f"no file or folder {self.place}: check the path")
        return [self.place.name.split(".")[0]]

    def fetch(self, request: Request) -> OwningReader:
        """A reader over the file; its beginning or its footer is read at once."""
        choose_table(self.tables(), request.table)
        with self._read_errors():
            schema = self.format.schema(self.place, request.schema)
        names = schema.names if request.columns is None else list(request.columns)
        for name in names:
            if name not in schema.names:
                raise ColumnNotFoundError(
                    f"no column {name!r} in {self.place}", available=schema.names
                )
        ranges = [it for it in request.ranges if not it.is_everything]
        check_ranges(ranges, schema)
        read = pa.schema([schema.field(name) for name in with_keys(names, ranges)])
        batches = self._batches(read, request.batch_rows, ranges)
        if ranges:
            batches = regrouped(in_ranges(batches, ranges, names), request.batch_rows)
        return OwningReader(pa.schema([schema.field(name) for name in names]), batches)

    def load(self, data: Watched, order: Order) -> int:
        """Write a new file aside and rename it; to append copies what is there."""
        table, if_exists = order.table, order.if_exists
        if table is not None and table != self.place.name.split(".")[0]:
            raise UnsupportedSourceError(f"{self.place} is one table: leave out table={table!r}")
        replace = if_exists != "fail"
        self.place.check_writable(replace=replace)
        if self.place.is_dir():
            raise TargetExistsError(f"{self.place} is a folder: give the path of a file in it")
        if if_exists == "fail" and self.place.exists():
            raise TargetExistsError(f"{self.place} exists: give if_exists='append' or 'replace'")
        self._check_storable(data.schema)
        schema: pa.Schema = data.schema
        batches: Iterator[pa.RecordBatch] = data
        if if_exists == "append" and self.place.exists():
            schema = self._schema_there(schema)
            batches = self._appended(schema, batches)
        with self.place.written_whole(replace=replace) as file:
            self.format.write(file, batches, schema)
        return data.rows

    def _schema_there(self, data: pa.Schema) -> pa.Schema:
        """The file's schema, which can take the data."""
        with self._read_errors():
            there = self.format.schema(self.place, None)
        if not self.format.keeps_types:
            there = pa.schema([data.field(f.name) if f.name in data.names else f for f in there])
        append_schema(data, there)
        return there

    def _appended(
        self, schema: pa.Schema, data: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        yield from self._batches(schema, _COPIED_ROWS)
        for batch in data:
            yield cast_batch(batch.select(schema.names), schema)

    def _batches(
        self, schema: pa.Schema, batch_rows: int, ranges: Sequence[KeyRange] = ()
    ) -> Iterator[pa.RecordBatch]:
        with self._read_errors():
            yield from self.format.batches(self.place, schema, batch_rows, ranges)

    def _check_storable(self, schema: pa.Schema) -> None:
        for field in schema:
            if schema.names.count(field.name) > 1:
                raise SchemaMismatchError("the data has it twice: rename one", column=field.name)
            try:
                self.format.check_storable(field)
            except pa.ArrowException as error:
                raise SchemaMismatchError(
                    f"{self.place.name} cannot store {field.type}: {error}", column=field.name
                ) from error

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise SourceUnreachableError(
                f"{self.place} may not be read: {error.strerror}"
            ) from error
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"no file or folder {self.place}: check the path") from error
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise CorruptSourceError(
                f"{self.place} cannot be read: {self.place.redact(str(error))}; it may be damaged "
                "or cut short: restore it from a copy"
            ) from (None if self.place.is_remote else error)
