"""The running feature state as one process has it: a function of the journal, and of nothing else.

Whoever applies the same entries in the same order has the same state, to the last bit, and gives
a transaction the same features. So processes need to agree on the journal only, and on where they
began: with nothing, or with a history that was counted before the journal's entries.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml import journal_entries
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.feature_state import FeatureState
from fraud_ml.journal_entries import Entry, Labels, Transactions
from fraud_ml.transactions import label_schema, transaction_columns

REMEMBERED = 65_536
"""A transaction that is sent again counts once, and gets the features that it had, as long as no
more than so many others came in between."""

_LENGTH = 8
_PAYMENTS_OF_NOBODY = 4
_TWENTY_DAYS = 20 * 24 * 3600 * 1_000_000  # microseconds
_DIGEST = 16  # bytes
_END_OF_HEAD = b', "ids": ['

Floats = npt.NDArray[np.float64]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Head:
    """What the bytes of a replica say of it at their beginning."""

    position: int
    """In the journal."""
    origin: str
    """Replicas of one origin and position are the same."""


class Replica:
    """A feature state, and how far in the journal it is."""

    def __init__(
        self, state: FeatureState, position: int = 0, last: bytes = b"", origin: str = ""
    ) -> None:
        self.state = state
        self.position = position
        """Of the last entry that was applied; 0 before the first."""
        self.origin = origin
        """Tells what it began with: empty where with nothing, at the journal's beginning."""
        self._last = last  # its digest
        self._row_of: dict[Any, int] = {}
        self._ids: list[Any] = []
        self._rows = np.empty((REMEMBERED, len(state.spec.names)))
        self._next = 0  # the row of self._rows that is overwritten next

    def apply(self, position: int, value: bytes, entry: Entry | None = None) -> Floats:
        """Applies the entry at ``position``: its transactions' features, shape ``(B, F)``.

        An entry that the state refuses counts for nothing, here as in every other process; its
        features are NaN.

        Args:
            position: in the journal.
            value: what the journal has there.
            entry: what ``value`` was made of, where the caller has made it.
        """
        self.pass_over(position, value)
        try:
            entry = entry or journal_entries.decode(value)
            if isinstance(entry, Labels):
                self.state.apply_labels(_table(entry))
                return self._rows[:0]
            return self.count(entry.columns)
        except (DataError, ValueError, pa.ArrowInvalid) as error:
            log.error("entry %d of the journal was skipped: %s", position, error)
            n_rows = len(entry.columns.get("amount", ())) if isinstance(entry, Transactions) else 0
            return np.full((n_rows, self._rows.shape[1]), np.nan)

    def pass_over(self, position: int, value: bytes) -> None:
        """Counts nothing of the entry at ``position``, and goes on after it."""
        if position != self.position + 1:
            raise ValueError(f"entry {position} does not follow {self.position}")
        self.position, self._last = position, _digest(value)

    def has_applied(self, position: int, value: bytes) -> bool:
        """Whether the last entry that was applied is that of ``value``, at ``position``."""
        return position == self.position and _digest(value) == self._last

    def features_of(self, name: Any) -> Floats | None:
        """The features that a transaction had, shape ``(F,)``; None of one that is not known."""
        row = self._row_of.get(name)
        return None if row is None else self._rows[row]

    def begin_here(self) -> None:
        """What it is now becomes what it began with: its origin tells it apart from all others.

        For one that has counted what no journal says.
        """
        self.origin = ""
        self.origin = _digest(self.to_bytes()).hex()

    def to_bytes(self) -> bytes:
        """All of it, for :meth:`from_bytes`: no pickle."""
        state = self.state.to_bytes()
        oldest_first = np.argsort((np.arange(len(self._ids)) - self._next) % max(len(self._ids), 1))
        header = {
            "position": self.position,
            "last": self._last.hex(),
            **({"origin": self.origin} if self.origin else {}),
            "ids": [self._ids[row] for row in oldest_first],
            "state": len(state),
        }
        text = json.dumps(header).encode()
        rows = self._rows[oldest_first].astype("<f8").tobytes()
        content = b"".join([len(text).to_bytes(_LENGTH, "little"), text, state, rows])
        return _digest(content) + content

    @classmethod
    def from_bytes(cls, content: bytes, spec: FeatureSpec) -> Replica:
        """The replica that :meth:`to_bytes` wrote, for the features of ``spec``.

        Raises:
            DataError: ``content`` is damaged, or of another spec or version.
        """
        checksum, content = content[:_DIGEST], content[_DIGEST:]
        if _digest(content) != checksum:
            raise DataError("the stored feature state is damaged: its checksum does not match")
        try:
            start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
            header = json.loads(content[_LENGTH:start])
            end = start + header["state"]
            state = FeatureState.from_bytes(content[start:end])
            rows = np.frombuffer(content, "<f8", offset=end).reshape(-1, len(spec.names))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the stored feature state cannot be read: {error}") from error
        if state.spec != spec:
            raise DataError("the stored feature state is of other features than the model's")
        last, origin = bytes.fromhex(header["last"]), header.get("origin", "")
        replica = cls(state, header["position"], last, origin)
        replica._remember(header["ids"], rows)
        return replica

    def count(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        """The features of transactions that count from now on, each once: shape ``(B, F)``.

        For what comes through no journal: history. One that is remembered gets what it had.

        Args:
            columns: as :meth:`fraud_ml.feature_state.FeatureState.update` takes them.

        Raises:
            DataError: as from there.
        """
        ids = columns["transaction_id"]
        if self._row_of.keys().isdisjoint(ids) and len(set(ids)) == len(ids):
            rows = self.state.update(columns)
            self._remember(ids, rows)
            return rows
        new = [row for row, name in enumerate(ids) if name not in self._row_of]
        first = dict(reversed([(ids[row], row) for row in new]))  # of each id, where it first is
        counted = sorted(first.values())
        once = {name: [values[row] for row in counted] for name, values in columns.items()}
        # Looked up before others are remembered: they may take the place of those.
        known = {name: self._rows[self._row_of[name]].copy() for name in ids if name not in first}
        fresh = self.state.update(once)
        self._remember(once["transaction_id"], fresh)
        known |= {ids[row]: features for row, features in zip(counted, fresh, strict=True)}
        return np.array([known[name] for name in ids])

    def _remember(self, ids: Sequence[Any], rows: Floats) -> None:
        """Keeps the features of new ``ids``; those of the oldest go."""
        start = 0
        while start < len(ids):  # as many at once as there are places up to the last
            some = ids[start : start + REMEMBERED - self._next]
            places = slice(self._next, self._next + len(some))
            for name in self._ids[places]:
                del self._row_of[name]
            self._ids[places] = some
            self._row_of.update(zip(some, range(places.start, places.stop), strict=True))
            self._rows[places] = rows[start : start + len(some)]
            self._next = places.stop % REMEMBERED
            start += len(some)


def head_of(start: bytes) -> Head | None:
    """What the bytes of a replica, or the first thousand of them, say; None: they are damaged.

    Only :meth:`Replica.from_bytes` finds out all damage.
    """
    text, found, _ = start[_DIGEST + _LENGTH :].partition(_END_OF_HEAD)
    try:
        if not found:
            return None
        header = json.loads(text + b"}")
        return Head(int(header["position"]), str(header.get("origin", "")))
    except (ValueError, KeyError, TypeError):
        return None


def name_of_snapshots(spec: FeatureSpec) -> str:
    """What the place of the replicas of ``spec``'s features is called in a store."""
    return f"state_{spec.hash[:16]}"


def features_of_nobody(spec: FeatureSpec) -> Floats:
    """Features of payments of nobody, some found to be frauds, from a state of their own.

    They go through all that payments go through, shape ``(B, F)``.
    """
    replica = Replica(FeatureState(spec))
    usual = {name: 0.0 if name in spec.numbers else "nobody" for name in transaction_columns(spec)}
    rows = []
    for number in range(_PAYMENTS_OF_NOBODY):
        when = number * _TWENTY_DAYS  # past the delays of labels
        payment = usual | {"transaction_id": number, "timestamp": when, "amount": float(number)}
        entry = Transactions({name: [value] for name, value in payment.items()})
        rows.append(replica.apply(2 * number + 1, journal_entries.encode(entry)))
        label = Labels([number], [True], [when])
        replica.apply(2 * number + 2, journal_entries.encode(label))
    replica.to_bytes()  # reads its histories as one that grows does
    return np.concatenate(rows)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()


def _table(labels: Labels) -> pa.Table:
    ids = pa.array(labels.transaction_id)
    columns = [ids, pa.array(labels.is_fraud, pa.bool_()), pa.array(labels.labelled_at, pa.int64())]
    schema = label_schema(transaction_id=ids.type)
    return pa.table(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
