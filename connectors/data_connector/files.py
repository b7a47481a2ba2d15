"""Files as sources and targets: what all formats share. A format of its own is a `Format`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

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


class Format(Protocol):
    """What differs from format to format."""

    @property
    def keeps_types(self) -> bool:
        """Whether a file knows its columns' types."""

    @property
    def keeps_bytes(self) -> bool:
        """Whether a file holds columns of bytes."""

    def schema(self, path: Path, given: pa.Schema | None) -> pa.Schema:
        """The file's schema, with the types that the caller gave for it."""

    def batches(
        self,
        path: Path,
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
    """The backend for a file, by its name; a folder holds Parquet files."""
    path = location.path
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        from data_connector.csv_files import CsvFormat

        return FileBackend(path, CsvFormat(compressed=name.endswith(".gz")))
    if name.endswith((".parquet", ".pq")) or path.is_dir():
        from data_connector.parquet_files import ParquetFormat

        return FileBackend(path, ParquetFormat())
    if not path.exists() and not path.suffix:
        raise SourceNotFoundError(f"no file or folder {path}: check the path")
    hint = (
        f"; for a SQLite database write sqlite:///{path}"
        if "db" in path.suffix or "sql" in path.suffix
        else ""
    )
    raise UnsupportedSourceError(
        f"cannot tell the format of {path}: name it .parquet, .csv or .csv.gz{hint}"
    )


@dataclass(frozen=True, slots=True)
class FileBackend:
    """One file, or one folder of them, as one table."""

    path: Path
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
        if not self.path.exists():
            raise SourceNotFoundError(f"no file or folder {self.path}: check the path")
        return [self.path.name.split(".")[0]]

    def fetch(self, request: Request) -> OwningReader:
        """A reader over the file; its beginning or its footer is read at once."""
        choose_table(self.tables(), request.table)
        with self._read_errors():
            schema = self.format.schema(self.path, request.schema)
        names = schema.names if request.columns is None else list(request.columns)
        for name in names:
            if name not in schema.names:
                raise ColumnNotFoundError(
                    f"no column {name!r} in {self.path}", available=schema.names
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
        if table is not None and table != self.path.name.split(".")[0]:
            raise UnsupportedSourceError(f"{self.path} is one table: leave out table={table!r}")
        if self.path.is_dir():
            raise TargetExistsError(f"{self.path} is a folder: give the path of a file in it")
        if if_exists == "fail" and self.path.exists():
            raise TargetExistsError(f"{self.path} exists: give if_exists='append' or 'replace'")
        self._check_storable(data.schema)
        schema: pa.Schema = data.schema
        batches: Iterator[pa.RecordBatch] = data
        if if_exists == "append" and self.path.exists():
            schema = self._schema_there(schema)
            batches = self._appended(schema, batches)
        with written_whole(self.path, replace=if_exists != "fail") as file:
            self.format.write(file, batches, schema)
        return data.rows

    def _schema_there(self, data: pa.Schema) -> pa.Schema:
        """The file's schema, which can take the data."""
        with self._read_errors():
            there = self.format.schema(self.path, None)
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
            yield from self.format.batches(self.path, schema, batch_rows, ranges)

    def _check_storable(self, schema: pa.Schema) -> None:
        for field in schema:
            if schema.names.count(field.name) > 1:
                raise SchemaMismatchError("the data has it twice: rename one", column=field.name)
            try:
                self.format.check_storable(field)
            except pa.ArrowException as error:
                raise SchemaMismatchError(
                    f"{self.path.name} cannot store {field.type}: {error}", column=field.name
                ) from error

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise SourceUnreachableError(
                f"{self.path} may not be read: {error.strerror}"
            ) from error
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"no file or folder {self.path}: check the path") from error
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise CorruptSourceError(
                f"{self.path} cannot be read: {error}; it may be damaged or cut short: "
                "restore it from a copy"
            ) from error
