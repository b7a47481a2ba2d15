"""Files of rows: which there are, what their columns are, and their rows, a chunk at a time."""

from __future__ import annotations

import bisect
import csv
import gzip
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

import data_connector
from data_connector.errors import CorruptSourceError, SchemaMismatchError, SourceNotFoundError
from data_connector.locations import FileLocation, parse
from fraud_ml.errors import DataError

_CSV = (".csv", ".csv.gz")
_READERS = 8  # footers are read side by side: of thousands of files each is a few reads
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Consecutive row groups of a file."""

    file: int
    groups: tuple[int, ...]
    first_row: int
    """Its number in the file."""
    rows: int


Split = tuple[RowGroups, ...]
"""What one task reads."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows, and where they lie."""

    rows: pa.Table
    starts: tuple[int, ...]
    """Which row is the first of each run of consecutive rows of a file."""
    places: tuple[tuple[int, int], ...]
    """The file, and the first row in it, of each run."""

    def place(self, row: int) -> tuple[int, int]:
        """The file of a row, and its number there."""
        run = bisect.bisect_right(self.starts, row) - 1
        file, first = self.places[run]
        return file, first + row - self.starts[run]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Files of one table."""

    files: tuple[Path, ...]
    folder: Path | None
    """Around them; where its folders are called ``name=value``, that is a column."""
    schema: pa.Schema
    """Of what is in the files."""
    group_rows: tuple[tuple[int, ...], ...] = ()
    """How many rows each row group of each file has; of CSV nobody knows."""
    is_csv: bool = False
    copies: tuple[Path, ...] | None = None
    """Where the rows are read instead, as Parquet."""
    is_copy: bool = False
    """Whether the files were fetched from elsewhere, so that nobody knows their names."""

    @property
    def fingerprint(self) -> dict[str, list[int]]:
        """Size and time of the last change of each file."""
        states = ((str(file), file.stat()) for file in self.files)
        return {name: [state.st_size, state.st_mtime_ns] for name, state in states}

    @property
    def is_readable(self) -> bool:
        """Whether tasks can read the rows as they are."""
        return not self.is_csv or self.copies is not None

    @property
    def n_rows(self) -> int:
        """Of all files."""
        return sum(map(sum, self.group_rows))

    def splits(self, target: int) -> list[Split]:
        """All rows, in parts of about ``target`` rows, or of one row group with more."""
        splits: list[Split] = []
        parts: list[RowGroups] = []
        taken = 0
        for file, groups in enumerate(self.group_rows):
            first = 0
            for number, rows in enumerate(groups):
                if parts and taken + rows > target:
                    splits.append(tuple(parts))
                    parts, taken = [], 0
                if parts and parts[-1].file == file:
                    before = parts.pop()
                    one = RowGroups(
                        file, (*before.groups, number), before.first_row, before.rows + rows
                    )
                else:
                    one = RowGroups(file, (number,), first, rows)
                parts.append(one)
                first += rows
                taken += rows
        return [*splits, tuple(parts)] if parts else splits

    def chunks(self, split: Split, columns: Sequence[str], *, size: int) -> Iterator[Chunk]:
        """The rows of a split, at most about ``size`` at a time.

        Args:
            split: of :meth:`splits`.
            columns: which to read.
            size: of a chunk.

        Raises:
            DataError: a file is damaged.
        """
        held: list[tuple[int, int, pa.Table]] = []
        there = 0
        for groups in split:
            row = groups.first_row
            for rows in self._batches(groups, columns, size):
                if held and there + rows.num_rows > size:
                    yield _chunk(held)
                    held, there = [], 0
                held.append((groups.file, row, rows))
                row += rows.num_rows
                there += rows.num_rows
        if held:
            yield _chunk(held)

    def place_of(self, file: int, row: int) -> str | None:
        """How an error message names a row; None: its file has no name."""
        return None if self.is_copy else f"{self.files[file]}, row {row} (the first is 0)"

    def readable(self, folder: Path, columns: Sequence[str]) -> Source:
        """The same with copies of CSV files in ``folder``, each made once.

        Raises:
            ConnectorError: a file cannot be read, or not be copied.
            DataError: a value is not of its column's type.
        """
        if self.is_readable:
            return self
        schema = pa.schema(
            [self.schema.field(name) for name in columns if name in self.schema.names]
        )
        copies = tuple(folder / f"part-{at:05}.parquet" for at in range(len(self.files)))
        folder.mkdir(exist_ok=True)
        for file, copy in zip(self.files, copies, strict=True):
            if not copy.exists():
                _copy_csv(file, copy, self.schema, schema.names)
        return Source(
            files=self.files,
            folder=self.folder,
            schema=schema,
            group_rows=tuple(_group_rows(copy) for copy in copies),
            is_csv=True,
            copies=copies,
        )

    def _batches(self, groups: RowGroups, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        file = (self.copies or self.files)[groups.file]
        inside = [name for name in columns if name in self.schema.names]
        beside = _of_folders(self.files[groups.file], self.folder)
        with _readable(file), pq.ParquetFile(file) as opened:
            batches = opened.iter_batches(
                size, row_groups=list(groups.groups), columns=inside, use_threads=False
            )
            for batch in batches:
                # Without what files say of a column beside its type, in which they may differ.
                yield pa.table(
                    {
                        name: batch.column(name)
                        if name in inside
                        else _repeated(beside[name], batch.num_rows)
                        for name in columns
                    }
                )


def local_source(path: Path, needed: Sequence[str]) -> Source:
    """The files at ``path``, each of which has the columns ``needed``, of the same types.

    Raises:
        SourceNotFoundError: there are none.
        DataError: one cannot be read, lacks a column, or has another type for it.
    """
    if not path.exists():
        raise SourceNotFoundError(f"no file or folder {path}: check the path")
    files = tuple(_listed(path)) if path.is_dir() else (path,)
    if not files:
        raise SourceNotFoundError(f"no .parquet or .csv file in the folder {path}: check the path")
    is_csv = files[0].name.endswith(_CSV)
    for file in files:
        if file.name.endswith(_CSV) != is_csv:
            raise DataError(f"{path} holds files of two kinds, {files[0]} and {file}: choose one")
    folder = path if path.is_dir() else None
    if is_csv:
        schema = data_connector.schema_of(files[0])
        for file in files:
            _check_header(file, schema.names, files[0])
        return Source(files=files, folder=folder, schema=schema, is_csv=True)
    with ThreadPoolExecutor(_READERS) as pool:
        footers = list(pool.map(_read_footer, files))
    first = footers[0].schema.to_arrow_schema()
    for file, footer in zip(files, footers, strict=True):
        _check_columns(file, footer.schema.to_arrow_schema(), needed, first, files[0])
    return Source(
        files=files,
        folder=folder,
        schema=first,
        group_rows=tuple(_rows_of_groups(footer) for footer in footers),
    )


def is_local(source: str) -> bool:
    """Whether tasks read ``source`` themselves: a file or folder of this machine, no URL."""
    return isinstance(parse(source), FileLocation)


def path_of(source: str) -> Path:
    """The path that ``source``, which :func:`is_local`, names."""
    location = parse(source)
    assert isinstance(location, FileLocation)  # noqa: S101 - is_local said so
    return location.path.absolute()


def names_there(source: Source) -> list[str]:
    """The names of all columns, those in the folders' names too."""
    return [*source.schema.names, *_of_folders(source.files[0], source.folder)]


def _listed(folder: Path) -> Iterator[Path]:
    """The files below a folder, without the marks and half-written files of whoever wrote it."""
    for file in sorted(folder.rglob("*")):
        hidden = any(part[0] in "._" for part in file.relative_to(folder).parts)
        if not hidden and file.name.endswith((".parquet", *_CSV)) and file.is_file():
            yield file


def _chunk(held: Sequence[tuple[int, int, pa.Table]]) -> Chunk:
    starts, there = [], 0
    for _, _, rows in held:
        starts.append(there)
        there += rows.num_rows
    places = tuple((file, row) for file, row, _ in held)
    return Chunk(pa.concat_tables(rows for _, _, rows in held), tuple(starts), places)


def _of_folders(file: Path, folder: Path | None) -> dict[str, str]:
    """The columns in the names of a file's folders, and their values, as text."""
    parts = PurePath() if folder is None else file.relative_to(folder).parent
    pairs = (part.partition("=") for part in parts.parts if "=" in part)
    return {name: unquote(value) for name, _, value in pairs}


def _repeated(text: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(None if text == _NULL else text, pa.string()), rows)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file} cannot be read: {error}; it may be damaged or cut short: restore it from a"
            " copy"
        ) from error


def _read_footer(file: Path) -> pq.FileMetaData:
    with _readable(file):
        return pq.read_metadata(file)


def _rows_of_groups(footer: pq.FileMetaData) -> tuple[int, ...]:
    return tuple(footer.row_group(at).num_rows for at in range(footer.num_row_groups))


def _group_rows(file: Path) -> tuple[int, ...]:
    return _rows_of_groups(_read_footer(file))


def _copy_csv(file: Path, copy: Path, schema: pa.Schema, columns: Sequence[str]) -> None:
    try:
        with data_connector.fetch(file, columns=list(columns), schema=schema) as reader:
            data_connector.load(reader, copy)
    except (CorruptSourceError, SchemaMismatchError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _check_columns(
    file: Path, schema: pa.Schema, needed: Sequence[str], first: pa.Schema, first_file: Path
) -> None:
    for name in needed:
        in_first = first.field(name).type if name in first.names else None
        here = schema.field(name).type if name in schema.names else None
        if in_first != here:
            raise DataError(
                f"column {name!r} is {here or 'missing'} in {file}, but"
                f" {in_first or 'missing'} in {first_file}; write the files with the same columns"
            )


def _check_header(file: Path, names: list[str], first_file: Path) -> None:
    opened: Any = gzip.open if file.name.endswith(".gz") else open
    with opened(file, "rt", encoding="utf-8", newline="") as text:
        there = next(csv.reader(text), [])
    if there != names:
        raise DataError(
            f"{file} has the columns {', '.join(there) or 'none'}, but {first_file} has"
            f" {', '.join(names)}; write the files with the same columns in the same order"
        )
