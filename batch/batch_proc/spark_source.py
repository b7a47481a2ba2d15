"""The transactions to score as Spark reads them: Parquet, CSV, or fetched from elsewhere before."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import DecimalType, LongType

import data_connector
from data_connector.errors import SourceNotFoundError
from data_connector.locations import FileLocation, parse
from fraud_ml.errors import DataError

_CSV = (".csv", ".csv.gz")
_READERS = 8  # footers are read side by side: of thousands of files each is a few reads
_UNSIGNED = DecimalType(20, 0)  # what Spark makes of unsigned numbers of 64 bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Files of one table."""

    files: tuple[Path, ...]
    folder: Path | None
    """Around them; where its folders are called ``name=value``, that is a column."""
    schema: pa.Schema
    is_csv: bool = False
    is_copy: bool = False
    """Whether they were fetched from elsewhere, so that nobody knows their names."""

    @property
    def fingerprint(self) -> dict[str, list[int]]:
        """Size and time of the last change of each file."""
        states = ((str(file), file.stat()) for file in self.files)
        return {name: [state.st_size, state.st_mtime_ns] for name, state in states}

    def read(self, session: SparkSession) -> DataFrame:
        """All columns, as Spark has them."""
        if self.is_csv:
            return session.read.csv(
                [str(file) for file in self.files],
                schema=from_arrow_schema(self.schema),
                header=True,
                mode="FAILFAST",  # else what does not fit its column is null
                quote='"',
                escape='"',
                enforceSchema=False,
            )
        reader = session.read
        if self.folder is not None:
            reader = reader.option("basePath", str(self.folder))
        return reader.parquet(*(str(file) for file in self.files))

    def columns(self, session: SparkSession, columns: Mapping[str, str]) -> DataFrame:
        """Some columns under other names.

        Args:
            session: to read with.
            columns: the new name to the source's.
        """
        there = self.read(session)
        return there.select(
            *(self._column(there, theirs).alias(ours) for ours, theirs in columns.items())
        )

    def place_of(self, session: SparkSession, column: str, value: str) -> list[str]:
        """The files, in Parquet with the rows, where ``column`` is ``value``: two at most."""
        if self.is_copy:
            return []
        place = [sf.col("_metadata.file_path").alias("file")]
        if not self.is_csv:
            place.append(sf.col("_metadata.row_index").alias("row"))
        there = self.read(session)
        found = there.where(self._column(there, column).cast("string") == value).select(*place)
        return [
            unquote(row["file"].removeprefix("file://"))
            + (f", row {row['row']} (the first is 0)" if "row" in row else "")
            for row in found.head(2)
        ]

    def _column(self, there: DataFrame, name: str) -> Column:
        column = there[f"`{name.replace('`', '``')}`"]
        kind = there.schema[name].dataType
        arrow = self.schema.field(name).type if name in self.schema.names else None
        in_nanoseconds = arrow is not None and pa.types.is_timestamp(arrow) and arrow.unit == "ns"
        if in_nanoseconds and isinstance(kind, LongType):
            return sf.timestamp_micros(sf.expr(f"`{name.replace('`', '``')}` div 1000"))
        return column.cast("bigint") if kind == _UNSIGNED else column


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
        schemas = list(pool.map(_read_footer, files))
    for file, schema in zip(files, schemas, strict=True):
        _check_columns(file, schema, needed, schemas[0], files[0])
    return Source(files=files, folder=folder, schema=schemas[0])


def is_local(source: str) -> bool:
    """Whether Spark reads ``source`` itself: a file or folder of this machine, no URL."""
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


def _of_folders(file: Path, folder: Path | None) -> list[str]:
    parts = PurePath() if folder is None else file.relative_to(folder).parent
    return [part.partition("=")[0] for part in parts.parts if "=" in part]


def _read_footer(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file} cannot be read: {error}; it may be damaged or cut short: restore it from a"
            " copy"
        ) from error


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
