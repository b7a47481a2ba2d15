"""The rows of the user's tables as tasks read them: under our names, with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from batch_proc.key_hash import hashes, is_hashable
from batch_proc.source_files import Chunk, Source, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRows:
    """A table that is not checked yet."""

    files: Source
    columns: Mapping[str, str]
    """Our column name to the table's, of all that are there."""
    source_names: Mapping[str, str]
    """The same, of those that the user named, for error messages."""

    def chunks(self, split: Split, size: int, ours: Sequence[str] = ()) -> Iterator[Chunk]:
        """The rows of a split, at most about ``size`` at a time.

        Args:
            split: of :attr:`files`.
            size: of a chunk.
            ours: which columns; without any, all.

        Raises:
            DataError: a file is damaged.
        """
        names = list(ours or self.columns)
        theirs = [self.columns[name] for name in names]
        for chunk in self.files.chunks(split, theirs, size=size):
            yield replace(chunk, rows=chunk.rows.rename_columns(names))

    def kind(self, ours: str) -> pa.DataType:
        """The type of a column."""
        theirs = self.columns[ours]
        if theirs in self.files.schema.names:
            return self.files.schema.field(theirs).type
        return pa.string()  # in the name of a folder

    def can_hash(self, ours: Sequence[str]) -> bool:
        """Whether these columns may be keys; where not, who checks the rows says so."""
        return all(is_hashable(self.kind(name)) for name in ours)

    def found(self, split: Split, size: int, number: int) -> list[tuple[str, str | None]]:
        """Ids of that hash, two at most, and the places of their rows, as far as they are known."""
        there: list[tuple[str, str | None]] = []
        for chunk in self.chunks(split, size, ["transaction_id"]):
            ids = chunk.rows.column(0)
            for row in (hashes(ids) == number).nonzero()[0][:2].tolist():
                if ids[row].is_valid:
                    place = self.files.place_of(*chunk.place(row))
                    there.append((repr(ids[row].as_py()), place))
        return there[:2]
