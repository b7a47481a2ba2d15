"""Parquet: one file, or a folder of files with the same columns (`key=value` folders included)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from data_connector.errors import SchemaMismatchError, SourceNotFoundError
from data_connector.ranges import KeyRange

if TYPE_CHECKING:
    from data_connector.files import Place

# Rows in a row group: readers skip and decode by group, and hold one in memory.
_GROUP_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Parquet with Arrow's schema in it, so that every type comes back."""

    @property
    def keeps_types(self) -> bool:
        """A file declares all its types."""
        return True

    @property
    def keeps_bytes(self) -> bool:
        """Bytes are a type like others."""
        return True

    def schema(self, place: Place, given: pa.Schema | None) -> pa.Schema:  # noqa: ARG002
        """The schema that all files share, which is checked in each one's footer."""
        return _dataset(place).schema

    def batches(
        self,
        place: Place,
        schema: pa.Schema,
        batch_rows: int,
        ranges: Sequence[KeyRange] = (),
    ) -> Iterator[pa.RecordBatch]:
        """The batches, in the order of the files' names and of their rows.

        Files and row groups whose statistics tell that they hold no row of the ranges are skipped.
        """
        # Not by the dataset's scanner, which reads ahead and keeps files open behind our back.
        for fragment in _dataset(place).get_fragments():
            groups = _groups_in(fragment, schema, ranges)
            if not groups:
                continue
            keys = ds.get_partition_keys(fragment.partition_expression)
            stored = [name for name in schema.names if name not in keys]
            with place.unchanged(fragment.path):
                for batch in _read(place, fragment.path, groups, stored, batch_rows):
                    arrays = [
                        pa.repeat(pa.scalar(keys[field.name], field.type), batch.num_rows)
                        if field.name in keys
                        else batch.column(field.name)
                        for field in schema
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def write(self, file: BinaryIO, data: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        """Write the rows in groups of a good size, whatever the batches'."""
        options = {"compression": "zstd", "write_page_checksum": True}
        with pq.ParquetWriter(file, schema, **options) as writer:
            for group in _groups(data):
                table = pa.Table.from_batches(group, schema)
                # Twice the size, so that only a very large batch is cut.
                writer.write_table(table, row_group_size=2 * _GROUP_ROWS)

    def check_storable(self, field: pa.Field) -> None:
        """Ask Arrow to write an empty column."""
        pq.write_table(pa.schema([field]).empty_table(), io.BytesIO())


def _read(
    place: Place, path: str, groups: list[int], columns: list[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    # Far away, the columns of a group come in one request, and no group before its turn.
    parts = [[group] for group in groups] if place.is_remote else [groups]
    with (
        place.files.open_input_file(path) as source,
        # Without its checksum, a damaged page can decode to other numbers.
        pq.ParquetFile(source, pre_buffer=place.is_remote, page_checksum_verification=True) as file,
    ):
        for part in parts:
            yield from file.iter_batches(batch_rows, part, columns=columns)


def _dataset(place: Place) -> ds.FileSystemDataset:
    path, files = place.path, place.files
    if not place.is_dir():
        dataset = ds.dataset(path, format="parquet", filesystem=files)
    else:
        found = _listed(files, path)
        if not found:
            raise SourceNotFoundError(f"no .parquet file in the folder {place}: check the path")
        dataset = ds.dataset(
            found,
            format="parquet",
            filesystem=files,
            partitioning="hive",
            partition_base_dir=path,
        )
    for fragment in dataset.get_fragments():
        for field in fragment.physical_schema:
            _check_field(dataset.schema, field, fragment.path)
        for name in dataset.schema.names:
            if name not in fragment.physical_schema.names and f"{name}=" not in fragment.path:
                # Arrow would read it as NULL.
                raise SchemaMismatchError(f"missing in {fragment.path}", column=name)
    return dataset


def _listed(files: fs.FileSystem, folder: str) -> list[str]:
    """The Parquet files below a folder, in the order of their names."""
    found = []
    for info in files.get_file_info(fs.FileSelector(folder, recursive=True)):
        parts = PurePosixPath(info.path).relative_to(folder).parts
        # Without the marks and half-written files of whoever wrote the folder.
        hidden = any(part[0] in "._" for part in parts)
        if info.path.endswith(".parquet") and info.type == fs.FileType.File and not hidden:
            found.append(info.path)
    return sorted(found, key=lambda path: PurePosixPath(path).parts)


def _check_field(schema: pa.Schema, field: pa.Field, path: str) -> None:
    index = schema.get_field_index(field.name)
    if index < 0:
        # Arrow would leave it out.
        raise SchemaMismatchError(f"in {path}, but not in the first file", column=field.name)
    if schema.field(index).type != field.type:
        raise SchemaMismatchError(
            f"{field.type} in {path}, {schema.field(index).type} in the first file",
            column=field.name,
        )


def _groups_in(
    fragment: ds.ParquetFileFragment, schema: pa.Schema, ranges: Sequence[KeyRange]
) -> list[int]:
    """The numbers of the row groups that may hold rows of the ranges."""
    condition = ds.scalar(True)  # noqa: FBT003 - a value, not a flag
    for it in ranges:
        condition &= it.expression(schema.field(it.column).type)
    return [group.id for group in fragment.subset(condition).row_groups]


def _groups(data: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    rows = 0
    for batch in data:
        group.append(batch)
        rows += batch.num_rows
        if rows >= _GROUP_ROWS:
            yield group
            group, rows = [], 0
    if group:
        yield group
