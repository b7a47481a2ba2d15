"""Features of one transaction or a few at a time, from a running state in bounded memory.

It agrees with :func:`~fraud_ml.features.compute_features` (``arrival_order=True``): the features
of a transaction are those it computes from all transactions and labels that have arrived by then.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from operator import index
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml import _column_values, _state_bytes
from fraud_ml._columns import MAX_AMOUNT, microseconds
from fraud_ml._key_histories import NO_KEY, KeyHistories
from fraud_ml._label_index import LabelIndex, Places
from fraud_ml._row_values import row_values
from fraud_ml._state_plan import left_out_by, plan_of
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import ColumnFeature, FeatureSpec, RowFeature, WindowFeature

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LONGEST = 2**61  # microseconds that leave room to add any window

_MANY = 512  # transactions, for which it pays to start a thread

_ALWAYS = ("transaction_id", "timestamp", "amount")

Column = Sequence[Any] | npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_Counted = TypeVar("_Counted")


class FeatureState:
    """The past of every key, as far as a feature of the spec may still look back.

    A key takes one entry for each instant (multiple of the spec's resolution) at which it had a
    transaction within the longest window and delay, whatever the number of transactions. Beside
    that, the state remembers which transactions a label may still be about: those of the longest
    window, delay and ``lateness``, by id. A single transaction with a wrong clock changes nothing
    about that: what counts there as now is the median of timestamps, in blocks of 256 arrivals.

    A transaction may arrive late, out of order: one that is older than its key's newest counts,
    for that key, as if it happened with the newest. What was answered is never revised.
    """

    def __init__(self, spec: FeatureSpec, *, lateness: dt.timedelta = dt.timedelta(days=1)) -> None:
        """An empty state.

        Args:
            spec: which features.
            lateness: how much later than the others a transaction may come without that labels
                for its key may be forgotten too early.
        """
        self.spec = spec
        self._resolution = microseconds(spec.resolution)
        self._kinds = [
            KeyHistories(plan_of(spec, columns))
            for columns in dict.fromkeys(
                f.columns for f in spec.features if isinstance(f, WindowFeature)
            )
        ]
        needed = (name for kind in self._kinds for name in kind.plan.needs)
        self._needs = tuple(dict.fromkeys((*_ALWAYS, *needed)))
        numbered = list(enumerate(spec.features))
        self._row_features = [(at, f) for at, f in numbered if isinstance(f, RowFeature)]
        self._column_features = [(at, f) for at, f in numbered if isinstance(f, ColumnFeature)]
        self._unless = [
            (spec.names.index(unless.feature), unless.bound, left_out_by(spec, unless))
            for unless in spec.unless
        ]
        self._labelled = [kind for kind in self._kinds if kind.plan.looks_at_labels]
        longest = max((kind.plan.kept.horizon for kind in self._labelled), default=0)
        span = longest * self._resolution + microseconds(lateness)
        self._index = LabelIndex(span, len(self._labelled))

    @property
    def n_keys(self) -> dict[str, int]:
        """How many values of each key are known; of two columns together, ``one+other``."""
        return {"+".join(kind.plan.columns): len(kind.number_of) for kind in self._kinds}

    def update(self, transactions: Mapping[str, Column]) -> npt.NDArray[np.float64]:
        """The features of ``transactions``, which are part of the state from now on: ``(B, F)``.

        Args:
            transactions: in order of arrival, column by column: ``transaction_id``, ``timestamp``
                (microseconds since the epoch, UTC), ``amount`` and the columns that the spec
                reads; None where a key, category or number is missing.

        Raises:
            DataError: a column that the spec reads is missing, shorter than others, or has a
                value that cannot be. The state is then what it was before.
        """
        columns, time, amount, rows = self._checked(transactions)
        ids = columns["transaction_id"]
        instants = time // self._resolution

        def count(kind: KeyHistories) -> tuple[Ints, Ints]:
            return kind.update(kind.names_of(columns), instants, amount, columns, rows)

        counted = _each(count, self._kinds, side_by_side=len(ids) >= _MANY)
        of_labelled = [
            of_kind
            for kind, of_kind in zip(self._kinds, counted, strict=True)
            if kind.plan.looks_at_labels
        ]
        if of_labelled:
            keys, at = zip(*of_labelled, strict=True)
            places = Places.of(keys, at, self._left_out(rows), amount)
            self._index.remember(ids, time.tolist(), places)
        return rows

    def without_history(self, transactions: Mapping[str, Column]) -> npt.NDArray[np.float64]:
        """What :meth:`update` would return if there were no past, and changes nothing: ``(B, F)``.

        Features of windows are NaN: not what a key's first transaction would have, but missing.

        Args:
            transactions: as :meth:`update` takes them.

        Raises:
            DataError: as from :meth:`update`.
        """
        rows: Floats = self._checked(transactions)[-1]
        return rows

    def update_table(self, transactions: pa.Table) -> pa.Table:
        """What :func:`~fraud_ml.features.compute_features` returns, of a table in its form."""
        columns = {
            name: (column.cast(pa.int64()) if name == "timestamp" else column).to_pylist()
            for name, column in zip(
                transactions.column_names, transactions.itercolumns(), strict=True
            )
        }
        features = self.update(columns)
        return pa.table(dict(zip(self.spec.names, features.T.copy(), strict=True)))

    def _left_out(self, rows: Floats) -> Ints:
        """Of each row, a bit for each ``unless`` of the spec that leaves it out: shape ``(B,)``."""
        left_out = np.zeros(len(rows), dtype=np.int64)
        for feature, bound, bit in self._unless:
            left_out |= bit * (rows[:, feature] > bound)  # NaN is not
        return left_out

    def _checked(
        self, transactions: Mapping[str, Column]
    ) -> tuple[dict[str, list[Any]], Ints, Floats, Floats]:
        """The columns that keys need, times, amounts, and rows with the features that have no past.

        All others are NaN. Raises :class:`DataError` where something is wrong.
        """
        _column_values.check_columns(self.spec, transactions)
        columns = {name: _column(transactions, name) for name in self._needs}
        n_rows = len(columns["transaction_id"])
        _check_lengths({name: transactions[name] for name in self.spec.columns} | columns, n_rows)
        for name in _ALWAYS:
            if None in columns[name]:
                raise DataError(f"column {name!r} has nulls; it must have none")
        time, amount = _times(columns["timestamp"]), _amounts(columns["amount"])
        rows = np.full((n_rows, len(self.spec.features)), np.nan)
        for number, row_feature in self._row_features:
            rows[:, number] = row_values(row_feature.value, time, amount)
        for number, feature in self._column_features:
            values = transactions[feature.column]
            rows[:, number] = _column_values.column_of_values(values, feature)
        return columns, time, amount, rows

    def apply_labels(self, labels: pa.Table) -> int:
        """Take in ``labels`` (the columns as in ``compute_features``); how many were of use.

        A label counts from ``labelled_at`` on, even if it is given earlier, and for transactions
        that arrive after it. Where a transaction has several, the one with the newest
        ``labelled_at`` that is known counts, in whatever order they are given. Of no use are
        labels of transactions that never arrived or are too old to be in any window, those that
        are not known (nulls), and those given before.
        """
        applied = 0
        for transaction, is_fraud, at in zip(
            labels.column("transaction_id").to_pylist(),
            labels.column("is_fraud").to_pylist(),
            labels.column("labelled_at").cast(pa.int64()).to_pylist(),
            strict=True,
        ):
            place = self._index.place_of(transaction)
            if is_fraud is None or at is None or place is None:
                continue
            changes = self._index.take_in(transaction, at, is_fraud=is_fraud)
            if changes is None:
                continue
            applied += 1
            for kind, key, instant in zip(self._labelled, place.keys, place.instants, strict=True):
                for since, more in changes:
                    known = -(-since // self._resolution)
                    if known < instant + kind.plan.kept.horizon:
                        kind.will_learn(key, known, instant, more, place.left_out, place.amount)
        return applied

    def forget_before(self, time: dt.datetime) -> int:
        """Forget every value of a key that was last seen before ``time``; how many they were.

        One that comes again counts as never seen, and labels of its earlier transactions for
        nothing. That changes no feature of windows, if ``time`` is at least the longest window
        and delay of its kind ago and nothing arrives later than that. It does change those that
        look at all the past: ``history_length``, the ones that compare with the usual amount, and
        the last transactions. The state never forgets a key by itself, so call this now and then
        where new keys never cease to come.

        Raises:
            TypeError: ``time`` says no time zone.
        """
        instant = microseconds(time - _EPOCH) // self._resolution
        forgotten = 0
        for kind in self._kinds:
            numbers = kind.forget_before(instant)
            n_gone = int((numbers == NO_KEY).sum())
            if n_gone and kind.plan.looks_at_labels:
                self._index.renumber(self._labelled.index(kind), numbers)
            forgotten += n_gone
        return forgotten

    def to_bytes(self) -> bytes:
        """The whole state, for :meth:`from_bytes`: no pickle, and the same for the same state.

        Raises:
            DataError: a key or an id is neither text nor a whole number.
        """
        header = {
            "spec": self.spec.to_json(),
            "keys": [_state_bytes.header_of_keys(kind) for kind in self._kinds],
            "labels": _state_bytes.header_of_labels(self._index),
        }
        arrays = chain(
            chain.from_iterable(kind.to_arrays() for kind in self._kinds),
            _state_bytes.arrays_of_labels(self._index),
        )
        return _state_bytes.dump(header, list(arrays))

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureState:
        """The state that :meth:`to_bytes` wrote; it goes on exactly as that one would have.

        Raises:
            DataError: ``content`` is no feature state, damaged, or another version's.
        """
        header, arrays = _state_bytes.load(content)
        state = cls(FeatureSpec.from_json(header["spec"]))
        for kind, keys in zip(state._kinds, header["keys"], strict=True):
            _state_bytes.load_keys(kind, keys, arrays)
        n_kinds = len(state._labelled)
        state._index = _state_bytes.load_labels(header["labels"], arrays, n_kinds)
        return state


def _each(
    count: Callable[[KeyHistories], _Counted], kinds: Sequence[KeyHistories], *, side_by_side: bool
) -> list[_Counted]:
    """``count`` of each kind of key; they share nothing, and compiled code lets others run."""
    if not side_by_side or len(kinds) < 2:
        return [count(kind) for kind in kinds]
    others = [_helpers().submit(count, kind) for kind in kinds[1:]]
    try:
        first = count(kinds[0])
        # What no thread has begun by now is done here: all cores may be at other work.
        return [
            first,
            *(
                count(kind) if other.cancel() else other.result()
                for kind, other in zip(kinds[1:], others, strict=True)
            ),
        ]
    finally:
        for other in others:
            if not other.cancel():  # whatever comes, nobody counts on when this has returned
                other.exception()


@cache
def _helpers() -> ThreadPoolExecutor:
    """Threads that wait for more: to start one takes as long as to count 500 transactions."""
    return ThreadPoolExecutor(thread_name_prefix="count")


os.register_at_fork(after_in_child=_helpers.cache_clear)  # a child has none of its parent's threads


def _column(transactions: Mapping[str, Column], name: str) -> list[Any]:
    try:
        values = transactions[name]
    except KeyError as error:
        raise DataError(f"missing column {error}, which every transaction has") from error
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _check_lengths(columns: Mapping[str, Column], n_rows: int) -> None:
    for name, values in columns.items():
        if len(values) != n_rows:
            raise DataError(f"column {name!r} has {len(values)} values, 'timestamp' has {n_rows}")


def _times(values: list[Any]) -> Ints:
    """Raises :class:`DataError` for what is no time."""
    try:
        time = np.fromiter(map(index, values), dtype=np.int64, count=len(values))
    except TypeError as error:
        raise DataError(f"timestamps must be whole numbers of microseconds: {error}") from error
    except OverflowError:
        time = np.array([min(max(value, -_LONGEST), _LONGEST) for value in values])
    wrong = np.abs(time) >= _LONGEST
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(f"timestamp {values[at]} in row {at}: not microseconds since the epoch")
    return time


def _amounts(values: list[Any]) -> Floats:
    """Raises :class:`DataError` for what is no amount."""
    try:
        amount = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"amounts must be numbers: {error}") from error
    wrong = ~((amount >= 0) & (amount <= MAX_AMOUNT))  # NaN is neither
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(f"amount {values[at]} in row {at}: it must be from 0 to {MAX_AMOUNT:g}")
    return amount
