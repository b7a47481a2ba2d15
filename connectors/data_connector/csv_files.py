"""CSV, plain or gzipped: a header, commas, `"` around text, nothing for NULL, `""` for no text."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
from pyarrow import csv

from data_connector.arrow_types import MICROSECONDS, UTC_MICROSECONDS, stored_type
from data_connector.errors import SchemaMismatchError
from data_connector.ranges import KeyRange

if TYPE_CHECKING:
    from data_connector.files import Place

# Types are guessed from the first block, so it had better be a large one; memory is a few of them.
_BLOCK = 8 << 20  # bytes

# Arrow counts columns from 0, and rows from 1 with the header as the first.
_CONVERSION = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """CSV as RFC 4180 has it."""

    compressed: bool

    @property
    def keeps_types(self) -> bool:
        """All is text until the reader says otherwise."""
        return False

    @property
    def keeps_bytes(self) -> bool:
        """CSV is text."""
        return False

    def schema(self, place: Place, given: pa.Schema | None) -> pa.Schema:
        """The header's names, with the types given for them or guessed from the first block."""
        guessed = self._guess(place)
        if given is None:
            return pa.schema([pa.field(field.name, _kept(field.type)) for field in guessed])
        for name in (*guessed.names, *given.names):
            if name not in given.names:
                raise SchemaMismatchError(f"{place} has it, schema= has not", column=name)
            if name not in guessed.names:
                raise SchemaMismatchError(
                    f"schema= has it, {place} has not; it has {guessed.names}", column=name
                )
        return pa.schema([given.field(name) for name in guessed.names])

    def batches(
        self,
        place: Place,
        schema: pa.Schema,
        batch_rows: int,
        ranges: Sequence[KeyRange] = (),  # noqa: ARG002 - all of a CSV file has to be read
    ) -> Iterator[pa.RecordBatch]:
        """The rows, a block at a time."""
        names = self._guess(place).names
        convert = _convert_options(include_columns=schema.names, column_types=schema)
        # An empty line of a table with one column is a NULL; elsewhere it is nothing.
        parse = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(names) > 1)
        with ExitStack() as files:
            try:
                files.enter_context(place.unchanged(place.path))
                for block in self._open(place, files, convert, parse):
                    for start in range(0, block.num_rows, batch_rows):
                        yield block.slice(start, batch_rows)
            except pa.ArrowInvalid as error:
                found = _CONVERSION.match(str(error))
                if found is None:
                    raise
                raise SchemaMismatchError(
                    f"{found[3]}; give the column's type with schema=, or correct {place}",
                    column=names[int(found[1])],
                    row=int(found[2]) - 1 if found[2] else None,
                ) from None

    def write(self, file: BinaryIO, data: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        """Write a header and the rows."""
        with ExitStack() as sinks:
            sink: Any = file
            if self.compressed:
                # Closing the compressor must not close the file, which is not safe on disk yet.
                sink = sinks.enter_context(pa.CompressedOutputStream(_KeptOpen(file), "gzip"))
            writer = sinks.enter_context(csv.CSVWriter(sink, schema))
            for batch in data:
                writer.write_batch(batch)

    def check_storable(self, field: pa.Field) -> None:
        """Refuse what has no text that could be read back, then ask Arrow."""
        if stored_type(field.type) in (None, pa.binary()):
            raise pa.ArrowNotImplementedError("CSV holds text, numbers and times: cast it first")
        csv.write_csv(pa.schema([field]).empty_table(), io.BytesIO())

    def _guess(self, place: Place) -> pa.Schema:
        with ExitStack() as files:
            parse = csv.ParseOptions(newlines_in_values=True)
            schema = self._open(place, files, _convert_options(), parse).schema
        for name in schema.names:
            if schema.names.count(name) > 1:
                raise SchemaMismatchError(f"{place} has it twice: rename one", column=name)
        return schema

    def _open(
        self,
        place: Place,
        files: ExitStack,
        convert: csv.ConvertOptions,
        parse: csv.ParseOptions,
    ) -> csv.CSVStreamingReader:
        # The decompressor reads in small pieces.
        buffer = _BLOCK if self.compressed and place.is_remote else None
        file: Any = files.enter_context(
            place.files.open_input_stream(place.path, compression=None, buffer_size=buffer)
        )
        if self.compressed:
            file = files.enter_context(pa.CompressedInputStream(file, "gzip"))
        # In one thread, since only then do errors tell their row.
        read = csv.ReadOptions(block_size=_BLOCK, use_threads=False)
        return files.enter_context(
            csv.open_csv(file, read_options=read, convert_options=convert, parse_options=parse)
        )


class _KeptOpen(io.RawIOBase):
    """A file without its `close`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return self._file.write(data)


def _convert_options(**options: Any) -> csv.ConvertOptions:
    return csv.ConvertOptions(
        # A customer may be called NA.
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        **options,
    )


def _kept(guessed: pa.DataType) -> pa.DataType:
    """The guessed type, or the one of this library in its place."""
    if pa.types.is_null(guessed):
        return pa.string()
    if pa.types.is_timestamp(guessed):
        return MICROSECONDS if guessed.tz is None else UTC_MICROSECONDS
    return guessed
