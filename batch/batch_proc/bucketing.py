"""Which rows go into which bucket: by a hash of their key, and those of hot keys by time, too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from batch_proc.key_hash import hashes, key_hashes
from batch_proc.pieces import Ints
from batch_proc.time_slices import Slice


@dataclass(frozen=True, kw_only=True, slots=True)
class HotSlice:
    """One slice of a hot key, and the bucket it gets."""

    key: int
    """The hash of the key."""
    first: int
    """When the key's first row happened, in microseconds."""
    slice: Slice
    bucket: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Buckets:
    """Where rows go of which all with the same key have to lie together."""

    key: tuple[str, ...]
    """The columns of the key; none: any rows may lie together."""
    identity: str
    """The column of the transaction's id. Rows without a key have no history in common, and are
    spread by it."""
    time: str
    n_usual: int
    """Buckets of the keys that are not hot."""
    slices: tuple[HotSlice, ...] = ()
    """Of the others; their buckets are numbered from there on."""

    @property
    def n_pieces(self) -> int:
        """How many buckets there are."""
        return self.n_usual + len(self.slices)

    def place(self, rows: pa.Table) -> tuple[Ints, Ints]:
        """The numbers of rows, and of each a bucket; a row of a hot key may be in several.

        Args:
            rows: sorted by time.
        """
        spread = hashes(rows.column(self.identity))
        if not self.key:
            return np.arange(rows.num_rows), self._usual(spread)
        number, is_there = key_hashes(rows, self.key)
        bucket = self._usual(np.where(is_there, number, spread))
        if not self.slices:
            return np.arange(rows.num_rows), bucket
        keys = np.unique(np.array([it.key for it in self.slices], dtype=np.uint64))
        is_hot = is_there & np.isin(number, keys)
        usual = np.flatnonzero(~is_hot)
        at, buckets = [usual], [bucket[usual]]
        times = rows.column(self.time).cast(pa.int64()).to_numpy()
        for key in keys:
            of_key = np.flatnonzero(is_hot & (number == key))
            for it in self.slices:
                if it.key == key:
                    at.append(of_key[needed_by(it, times[of_key])])
                    buckets.append(np.full(len(at[-1]), it.bucket))
        return np.concatenate(at), np.concatenate(buckets)

    def _usual(self, number: np.ndarray) -> Ints:
        bucket: Ints = (number % np.uint64(self.n_usual)).astype(np.int64)
        return bucket


def needed_by(it: HotSlice, times: Ints) -> Ints:
    """Which rows of a key its slice needs: its own, those they look back at, and the first.

    Args:
        it: the slice.
        times: of rows of the key, in microseconds, ascending: shape ``(N,)``.
    """
    start = it.slice.context_from
    first = 0 if start is None else int(np.searchsorted(times, start))
    stop = len(times) if it.slice.stop is None else int(np.searchsorted(times, it.slice.stop))
    oldest = int(np.searchsorted(times, it.first, side="right"))
    return np.concatenate([np.arange(min(oldest, first, stop)), np.arange(first, stop)])
