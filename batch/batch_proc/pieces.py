"""Rows on their way from one step's tasks to the next one's: a file a task, in it a piece each.

A file is of Arrow's IPC format. Each chunk of rows that a task writes makes a batch for each piece
in turn, so that batch ``i * n + p`` holds what the ``i``-th chunk has for piece ``p`` of ``n``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch_proc.whole_files import whole_file

Ints = npt.NDArray[np.int64]

_FEW = 2**16  # pieces: below, NumPy sorts their numbers by counting


class Placing(Protocol):
    """Says which rows the next step's tasks need."""

    @property
    def n_pieces(self) -> int:
        """How many tasks there are."""

    def place(self, rows: pa.Table) -> tuple[Ints, Ints]:
        """The numbers of rows, and of each the piece that it goes to; a row may go to several."""


@dataclass(frozen=True, slots=True)
class OnePiece:
    """Places all rows in one."""

    n_pieces: int = 1

    def place(self, rows: pa.Table) -> tuple[Ints, Ints]:
        """All of them."""
        return np.arange(rows.num_rows), np.zeros(rows.num_rows, dtype=np.int64)


def write_pieces(path: Path, chunks: Iterable[pa.Table], placing: Placing) -> dict[str, int]:
    """Writes the file, whole; how many rows and bytes it has, which is not there without rows.

    Args:
        path: the file.
        chunks: rows of one schema; their order is kept in each piece.
        placing: which rows go where.

    Raises:
        WriteError: as :func:`~batch_proc.whole_files.whole_file`.
    """
    n_rows = 0
    with ExitStack() as file:
        writer, aside = None, path
        for rows in chunks:
            at, piece = placing.place(rows)
            if not len(at):
                continue
            if writer is None:
                aside = file.enter_context(whole_file(path))
                options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
                writer = file.enter_context(
                    pa.ipc.new_file(str(aside), rows.schema, options=options)
                )
            n_rows += len(at)
            for batch in _batches(rows, at, piece, placing.n_pieces):
                writer.write_batch(batch)
    return {"rows": n_rows, "bytes": path.stat().st_size if n_rows else 0}


def read_piece(files: Sequence[Path], number: int, placing: Placing) -> pa.Table | None:
    """All rows of a piece, in order of the files and of what was written; None: there are none."""
    found = []
    options = pa.ipc.IpcReadOptions(use_threads=False)
    for path in files:
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
            for at in range(number, reader.num_record_batches, placing.n_pieces):
                batch = reader.get_batch(at)
                if batch.num_rows:
                    found.append(batch)
    return pa.Table.from_batches(found) if found else None


def _batches(rows: pa.Table, at: Ints, piece: Ints, n_pieces: int) -> Iterable[pa.RecordBatch]:
    order = np.argsort(piece.astype(np.uint16) if n_pieces <= _FEW else piece, kind="stable")
    (batch,) = rows.take(at[order]).combine_chunks().to_batches()
    ends = np.cumsum(np.bincount(piece, minlength=n_pieces)).tolist()
    for start, stop in zip([0, *ends], ends, strict=False):
        yield batch.slice(start, stop - start)
