"""A key with too many rows for one bucket, cut into slices of time that have the past they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of one key whose features are computed in a bucket of their own.

    Times are in microseconds since 1970, in UTC. Beside its own rows the bucket gets those that
    they look back at: all from :attr:`context_from` on, and the key's first.
    """

    start: int | None
    """The first of its rows' times; None: there is no slice before."""
    stop: int | None
    """Its rows are earlier than that; None: there is no slice after."""
    context_from: int | None
    """None: from the key's beginning on."""


def cut(
    starts: Sequence[int],
    rows: Sequence[int],
    *,
    size: int,
    lookback: int,
    resolution: int,
    past_rows: int,
) -> list[Slice]:
    """Slices of about equally many rows; none where that would not make buckets smaller.

    A slice has at least as many rows of its own as of its past, so that at most about twice the
    key's rows are worked on, however long the windows are.

    Args:
        starts: of consecutive spans of time, ascending; each ends where the next one starts.
        rows: how many of the key's rows lie in each.
        size: the rows that a slice should have, without its past.
        lookback: how far windows reach back.
        resolution: of the features' time.
        past_rows: how many rows before its windows a row's features depend on.
    """
    total = sum(rows)
    reached = total * lookback // max(starts[-1] - starts[0], 1)
    size = max(size, reached)
    cuts, taken = [], 0
    for start, there in zip(starts, rows, strict=True):
        if taken >= size:
            cuts.append(start)
            taken = 0
        taken += there
    if not cuts:
        return []
    slices = [Slice(None, cuts[0], None)]
    for start, stop in zip(cuts, [*cuts[1:], None], strict=True):
        # One instant more than the windows reach, since they are counted in whole instants.
        seen_from = start // resolution * resolution - lookback
        slices.append(Slice(start, stop, _back(starts, rows, seen_from, past_rows)))
    return slices


def _back(starts: Sequence[int], rows: Sequence[int], time: int, past_rows: int) -> int | None:
    """When the last span starts so that from there to ``time`` there are ``past_rows`` rows."""
    if past_rows == 0:
        return time
    found = 0
    for number in range(len(starts) - 1, -1, -1):
        ends_before = number + 1 < len(starts) and starts[number + 1] <= time
        if ends_before:
            found += rows[number]
            if found >= past_rows:
                return starts[number]
    return None
