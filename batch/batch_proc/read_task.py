"""What a Spark task does with a split of the input: checks its rows, and spreads them by key."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from batch_proc.bucket_rows import Layout, Span, within
from batch_proc.key_hash import Hashes, hashes
from batch_proc.parts import PlacedError, without_row
from batch_proc.pieces import Ints, Placing, write_pieces
from batch_proc.raw_rows import RawRows
from batch_proc.run_ledger import Step
from batch_proc.source_files import Chunk, Split
from fraud_ml.errors import DataError
from fraud_ml.transactions import normalise_times

IDS = "ids"
"""The files with the ids' hashes, beside those with the rows."""
DAY = 86_400_000_000  # microseconds
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ById:
    """Places hashes of ids: columns of :func:`id_hashes`."""

    n_pieces: int

    def place(self, rows: pa.Table) -> tuple[Ints, Ints]:
        """All of them, each once."""
        first = rows.column(0).to_numpy()
        return np.arange(len(first)), (first % np.uint64(self.n_pieces)).astype(np.int64)


def id_hashes(ids: pa.ChunkedArray) -> pa.Table:
    """Hashes by which ids are told apart: of numbers one, of texts two, together 128 bits."""
    columns = {"a": hashes(ids)}
    if not pa.types.is_integer(ids.type):
        columns["b"] = hashes(ids, seed=1)
    return pa.table(columns)


def repeated(found: pa.Table | None) -> Hashes:
    """The first of the hashes of each repeat of an id: empty where there is none."""
    if found is None:
        return np.empty(0, np.uint64)
    keys = [column.to_numpy() for column in reversed(found.columns)]
    order = np.argsort(keys[0]) if len(keys) == 1 else np.lexsort(keys)
    same = np.ones(max(found.num_rows - 1, 0), dtype=bool)
    for key in keys:
        same &= np.diff(key[order].view(np.int64)) == 0
    repeats: Hashes = keys[-1][order][1:][same]
    return repeats


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadTask:
    """The work on a split of the transactions."""

    rows: RawRows
    layout: Layout
    splits: tuple[Split, ...]
    step: Step
    """Where its files go."""
    placing: Placing
    """What the first stage's tasks need."""
    n_ids: int
    """Pieces of the ids' hashes."""
    size: int
    """Rows to hold at a time."""
    counted: Span
    """The times of the rows that count, in microseconds."""
    wanted: Span
    """The times of the rows that are to come out in the end."""

    def work(self, part: int) -> None:
        """Does it: writes the rows, their ids' hashes, and a record.

        Raises:
            DataError: rows are no transactions.
        """
        days: Counter[int] = Counter()
        ids: list[pa.Table] = []
        chunks = self._checked(self.splits[part], days, ids)
        written = write_pieces(self.step.data(part), chunks, self.placing)
        if ids:
            write_pieces(self.step.data(part, IDS), ids, ById(n_pieces=self.n_ids))
        by_day = {str(_EPOCH + dt.timedelta(days=day)): rows for day, rows in sorted(days.items())}
        self.step.finish(part, {**written, "days": by_day})

    def _checked(self, split: Split, days: Counter[int], ids: list[pa.Table]) -> Iterator[pa.Table]:
        time = self.layout.column["timestamp"]
        for chunk in self.rows.chunks(split, self.size):
            rows = _Reading(self.rows, self.layout, chunk).checked(self.counted)
            if rows is None:
                continue
            checked, hashed = rows
            ids.append(hashed)
            times = within(checked, time, self.wanted).column(time).cast(pa.int64()).to_numpy()
            there, counts = np.unique(times // DAY, return_counts=True)
            days.update(dict(zip(there.tolist(), counts.tolist(), strict=True)))
            yield checked


@dataclass(kw_only=False)
class _Reading:
    """A chunk of rows on its way to transactions, and which rows of it are left."""

    raw: RawRows
    layout: Layout
    chunk: Chunk
    left: Ints = field(init=False)

    def checked(self, counted: Span) -> tuple[pa.Table, pa.Table] | None:
        """The rows that count, and their ids' hashes; None: there are none."""
        rows = self.chunk.rows
        self.left = np.arange(rows.num_rows)
        try:
            if counted != (None, None):
                rows = self._counted(counted)
            if not rows.num_rows:
                return None
            return self._transactions(rows)
        except DataError as error:
            message, _, row = without_row(str(error))
            if row is None:
                raise
            place = self.raw.files.place_of(*self.chunk.place(int(self.left[row])))
            raise PlacedError(f"{message}; it is in {place}" if place else message) from None

    def _counted(self, counted: Span) -> pa.Table:
        """Without rows of other times; those without a time are left, to be refused."""
        given = normalise_times(self.chunk.rows, source_names=self.raw.source_names)
        times = given.cast(pa.int64()).fill_null(counted[0] or 0).to_numpy()
        there = np.ones(len(times), dtype=bool)
        if counted[0] is not None:
            there &= times >= counted[0]
        if counted[1] is not None:
            there &= times < counted[1]
        there |= given.is_null().to_numpy()
        self.left = np.flatnonzero(there)
        return self.chunk.rows.filter(pa.array(there))

    def _transactions(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        try:
            checked = self.layout.checked(rows)
        except DataError:
            # Repeats are counted where all rows of an id are.
            if not self.raw.can_hash(["transaction_id"]):
                raise
            found = id_hashes(rows.column("transaction_id"))
            keys = [column.to_numpy() for column in found.columns]
            first = np.unique(np.stack(keys), axis=1, return_index=True)[1]
            if len(first) == rows.num_rows or rows.column("transaction_id").null_count:
                raise
            first.sort()
            self.left = self.left[first]
            checked = self.layout.checked(rows.take(first))
            return checked, found
        return checked, id_hashes(checked.column(self.layout.column["transaction_id"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLabelsTask:
    """The work on a split of a table of labels: spreads them as their transactions are."""

    rows: RawRows
    splits: tuple[Split, ...]
    step: Step
    n_pieces: int
    size: int

    def work(self, part: int) -> None:
        """Does it."""
        chunks = (chunk.rows for chunk in self.rows.chunks(self.splits[part], self.size))
        written = write_pieces(self.step.data(part), chunks, ByLabelledId(n_pieces=self.n_pieces))
        self.step.finish(part, written)


@dataclass(frozen=True, kw_only=True, slots=True)
class ByLabelledId:
    """Places labels where :class:`~batch_proc.bucketing.Buckets` without a key does their rows."""

    n_pieces: int

    def place(self, rows: pa.Table) -> tuple[Ints, Ints]:
        """All that have an id."""
        ids = rows.column("transaction_id")
        at = np.flatnonzero(ids.is_valid().to_numpy())
        number = hashes(ids)[at]
        return at, (number % np.uint64(self.n_pieces)).astype(np.int64)
