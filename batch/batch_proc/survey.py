"""What must be known of all rows before they go into buckets: how many there are, and hot keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batch_proc.bucketing import HotSlice
from batch_proc.key_hash import Bools, Hashes, key_hashes
from batch_proc.key_stages import Key, KeyStage, keys_of, past_of
from batch_proc.pieces import Ints
from batch_proc.raw_rows import RawRows
from batch_proc.source_files import Split
from batch_proc.time_slices import Slice, cut
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import normalise_times

_SPANS = 4_096  # of a hot key's time: a slice is cut to within a few of them
_FEW_BITS = 2**16 - 1
_MICROSECOND = dt.timedelta(microseconds=1)

Times = dict[Key, dict[int, tuple[int, int, int]]]
"""Of each key the hashes of its values, and of each how many rows there are, and the first's and
the last's time."""

Gather = Callable[[Callable[[Split], Any], Sequence[Split]], list[Any]]
"""What a function finds of each split, somewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counting:
    """Looks at the keys of the rows of a split."""

    rows: RawRows
    keys: tuple[Key, ...]
    size: int
    """Rows to hold at a time."""

    def often(self, split: Split, share: float) -> dict[Key, list[int]]:
        """The hashes of values that have at least that share of the split's rows."""
        found: dict[Key, list[Hashes]] = {key: [] for key in self.keys}
        for _, of_keys in self._rows(split, with_times=False):
            for key, (number, there) in of_keys.items():
                found[key].append(number[there])
        least = share * sum(groups.rows for groups in split)
        often = {}
        for key, parts in found.items():
            number = np.concatenate(parts)
            # Counting a few of the bits first leaves hardly any rows to sort.
            few = (number & np.uint64(_FEW_BITS)).astype(np.int64)
            number = number[np.bincount(few, minlength=1)[few] >= least]
            values, counts = np.unique(number, return_counts=True)
            often[key] = values[counts >= least].tolist()
        return often

    def times(self, split: Split, of: Mapping[Key, Sequence[int]]) -> Times:
        """How many rows some values have, and from when to when."""
        found: Times = {key: {} for key in of}
        for time, of_keys in self._rows(split):
            for key, wanted in of.items():
                number, there = of_keys[key]
                hot = np.flatnonzero(there & np.isin(number, np.array(wanted, np.uint64)))
                values, value, counts = np.unique(
                    number[hot], return_inverse=True, return_counts=True
                )
                first = np.full(len(values), np.iinfo(np.int64).max)
                last = np.full(len(values), np.iinfo(np.int64).min)
                np.minimum.at(first, value, time[hot])
                np.maximum.at(last, value, time[hot])
                _add_times(
                    found[key],
                    zip(
                        values.tolist(), counts.tolist(), first.tolist(), last.tolist(), strict=True
                    ),
                )
        return found

    def spans(self, split: Split, of: Mapping[Key, Mapping[int, tuple[int, int]]]) -> Any:
        """How many rows some values have in each of their spans of time.

        Args:
            split: whose rows.
            of: of each value when its first span starts, and how long each is.
        """
        found: dict[Key, dict[int, Ints]] = {
            key: {value: np.zeros(_SPANS, np.int64) for value in values}
            for key, values in of.items()
        }
        for time, of_keys in self._rows(split):
            for key, values in of.items():
                number, there = of_keys[key]
                for value, (first, width) in values.items():
                    hot = time[there & (number == np.uint64(value))]
                    found[key][value] += np.bincount((hot - first) // width, minlength=_SPANS)
        return found

    def _rows(
        self, split: Split, *, with_times: bool = True
    ) -> Iterator[tuple[Ints, dict[Key, tuple[Hashes, Bools]]]]:
        names = list(dict.fromkeys(name for key in self.keys for name in key))
        if with_times:
            names.append("timestamp")
        for chunk in self.rows.chunks(split, self.size, names):
            rows = chunk.rows
            time = np.empty(0, np.int64)
            if with_times:
                given = normalise_times(rows, source_names=self.rows.source_names)
                there = given.is_valid()
                rows = rows.filter(there)
                time = given.filter(there).cast(pa.int64()).to_numpy()
            yield time, {key: key_hashes(rows, key) for key in self.keys}


def find_hot_keys(
    rows: RawRows, spec: FeatureSpec, splits: Sequence[Split], gather: Gather, *, threshold: int
) -> Times:
    """The keys that have a value with more than ``threshold`` rows, and these values.

    Args:
        rows: of the input.
        spec: whose keys.
        splits: all of the rows.
        gather: asks all splits.
        threshold: values with so many rows do not count.
    """
    keys = tuple(key for key in keys_of(spec) if rows.can_hash(key))
    if rows.files.n_rows <= threshold or not keys:
        return {}
    counting = Counting(rows=rows, keys=keys, size=threshold // 2)
    # Who has more than its share of all rows has it of the rows of at least one split.
    share = threshold / rows.files.n_rows
    often: dict[Key, set[int]] = {key: set() for key in keys}
    for found in gather(lambda split: counting.often(split, share), splits):
        for key, values in found.items():
            often[key].update(values)
    wanted = {key: sorted(values) for key, values in often.items() if values}
    if not wanted:
        return {}
    counting = Counting(rows=rows, keys=tuple(wanted), size=threshold // 2)
    times: Times = {key: {} for key in wanted}
    for part in gather(lambda split: counting.times(split, wanted), splits):
        for key, values in part.items():
            _add_times(times[key], ((value, *numbers) for value, numbers in values.items()))
    hot = {
        key: {value: it for value, it in values.items() if it[0] > threshold}
        for key, values in times.items()
    }
    return {key: values for key, values in hot.items() if values}


def cut_hot_keys(
    rows: RawRows,
    spec: FeatureSpec,
    splits: Sequence[Split],
    gather: Gather,
    stages: Sequence[KeyStage],
    hot: Times,
    *,
    target: int,
    n_buckets: int,
) -> list[list[HotSlice]]:
    """Of each stage the slices of its key's hot values.

    Args:
        rows: of the input.
        spec: of the features.
        splits: all of the rows.
        gather: asks all splits.
        stages: what is computed.
        hot: of :func:`find_hot_keys`.
        target: rows of a slice.
        n_buckets: of the other keys; slices get the numbers after those.
    """
    of = {
        stage.key: {
            value: (first, (last - first) // _SPANS + 1)
            for value, (_, first, last) in hot[stage.key].items()
        }
        for stage in stages
        if stage.key in hot
    }
    if not of:
        return [[] for _ in stages]
    counting = Counting(rows=rows, keys=tuple(of), size=target)
    counts: dict[Key, dict[int, Ints]] = {
        key: {value: np.zeros(_SPANS, np.int64) for value in values} for key, values in of.items()
    }
    for found in gather(lambda split: counting.spans(split, of), splits):
        for key, values in found.items():
            for value, there in values.items():
                counts[key][value] += there
    return [
        _slices(stage, spec, of[stage.key], counts[stage.key], target, n_buckets)
        if stage.key in of
        else []
        for stage in stages
    ]


def _slices(
    stage: KeyStage,
    spec: FeatureSpec,
    of: Mapping[int, tuple[int, int]],
    rows: Mapping[int, Ints],
    target: int,
    n_buckets: int,
) -> list[HotSlice]:
    past = past_of(stage.features, spec)
    slices: list[HotSlice] = []
    for value, (first, width) in sorted(of.items()):
        spans = int(np.flatnonzero(rows[value])[-1]) + 1
        for it in cut(
            [first + width * number for number in range(spans)],
            rows[value][:spans].tolist(),
            size=target,
            lookback=past.lookback // _MICROSECOND,
            resolution=spec.resolution // _MICROSECOND,
            past_rows=past.rows,
        ):
            bucket = n_buckets + len(slices)
            slices.append(HotSlice(key=value, first=first, slice=it, bucket=bucket))
    return slices


def to_json(slices: Sequence[HotSlice]) -> list[dict[str, Any]]:
    """What :func:`from_json` takes."""
    return [asdict(it) for it in slices]


def from_json(values: Sequence[Mapping[str, Any]]) -> tuple[HotSlice, ...]:
    """The slices that were kept."""
    return tuple(HotSlice(**{**it, "slice": Slice(**it["slice"])}) for it in values)


def _add_times(
    to: dict[int, tuple[int, int, int]], more: Iterator[tuple[int, int, int, int]]
) -> None:
    for value, rows, first, last in more:
        before = to.get(value, (0, first, last))
        to[value] = (before[0] + rows, min(before[1], first), max(before[2], last))
