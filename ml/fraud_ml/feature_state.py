"""Features of one transaction or a few at a time, from a running state in bounded memory.

It agrees with :func:`~fraud_ml.features.compute_features` (``arrival_order=True``): the features
of a transaction are those it computes from all transactions and labels that have arrived by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml import _column_values, _state_bytes
from fraud_ml._columns import MAX_AMOUNT, microseconds
from fraud_ml._label_index import LabelIndex
from fraud_ml._state_plan import KeyPlan
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import ColumnFeature, FeatureSpec, RowFeature, RowValue, WindowFeature

_DAY = microseconds(dt.timedelta(days=1))
_HOUR = microseconds(dt.timedelta(hours=1))
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LONGEST = 2**61  # microseconds that leave room to add any window

Column = Sequence[Any] | npt.NDArray[Any]


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
        self._plans = [
            KeyPlan(spec, columns)
            for columns in dict.fromkeys(
                f.columns for f in spec.features if isinstance(f, WindowFeature)
            )
        ]
        self._labelled = [plan for plan in self._plans if plan.looks_at_labels]
        longest = max((plan.kept.horizon for plan in self._labelled), default=0)
        self._index = LabelIndex(longest * self._resolution + microseconds(lateness))
        self._row_features = [
            (column, _ROW_VALUES[feature.value])
            for column, feature in enumerate(spec.features)
            if isinstance(feature, RowFeature)
        ]
        self._column_features = [
            (column, feature)
            for column, feature in enumerate(spec.features)
            if isinstance(feature, ColumnFeature)
        ]

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
        _column_values.check_columns(self.spec, transactions)
        ids, time, amount = (
            _column(transactions, name) for name in ("transaction_id", "timestamp", "amount")
        )
        columns = {name: _column(transactions, name) for plan in self._plans for name in plan.needs}
        own = {f.column: _column(transactions, f.column) for _, f in self._column_features}
        time, amount = _checked(time, amount, {"transaction_id": ids}, columns | own)
        n_features = len(self.spec.features)
        rows = [[0.0] * n_features for _ in ids]
        for column, value in self._row_features:
            for row, now, paid in zip(rows, time, amount, strict=True):
                row[column] = value(now, paid)
        for column, feature in self._column_features:
            values = _column_values.column_of_values(own[feature.column], feature)
            for row, known in zip(rows, values.tolist(), strict=True):
                row[column] = known
        instants = [now // self._resolution for now in time]
        places = []
        for plan in self._plans:
            names, others = plan.columns_of(columns)
            counted = [
                plan.update(name, instant, paid, values, row)
                for name, instant, paid, values, row in zip(
                    names, instants, amount, others, rows, strict=False
                )
            ]
            if plan.looks_at_labels:
                places += [names, counted]
        if places:
            for transaction, now, *place in zip(ids, time, *places, strict=True):
                self._index.remember(transaction, now, tuple(place))
        return np.array(rows, dtype=np.float64).reshape(len(rows), n_features)

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
            if is_fraud is None or at is None:
                continue
            changes = self._index.take_in(transaction, at, is_fraud=is_fraud)
            if changes is None:
                continue
            applied += 1
            place = self._index.places[transaction]
            for kind, plan in enumerate(self._labelled):
                key, instant = plan.keys.get(place[2 * kind]), place[2 * kind + 1]
                for since, more in changes:
                    known = -(-since // self._resolution)
                    if key is not None and known < instant + plan.kept.horizon:
                        key.will_learn(known, instant, more)
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
        for plan in self._plans:
            gone = {name for name, key in plan.keys.items() if key.newest < instant}
            for name in gone:
                del plan.keys[name]
            if gone and plan.looks_at_labels:
                self._index.forget_keys(self._labelled.index(plan), gone)
            forgotten += len(gone)
        return forgotten

    def to_bytes(self) -> bytes:
        """The whole state, for :meth:`from_bytes`: no pickle, and the same for the same state.

        Raises:
            DataError: a key or an id is neither text nor a whole number.
        """
        dumped = [_state_bytes.dump_keys(plan.keys) for plan in self._plans]
        kinds = [plan.keys for plan in self._labelled]
        labels, arrays = _state_bytes.dump_index(self._index, kinds)
        header = {
            "spec": self.spec.to_json(),
            "keys": [header for header, _ in dumped],
            "labels": labels,
        }
        return _state_bytes.dump(header, [*(a for _, more in dumped for a in more), *arrays])

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureState:
        """The state that :meth:`to_bytes` wrote; it goes on exactly as that one would have.

        Raises:
            DataError: ``content`` is no feature state, damaged, or another version's.
        """
        header, arrays = _state_bytes.load(content)
        state = cls(FeatureSpec.from_json(header["spec"]))
        for plan, keys in zip(state._plans, header["keys"], strict=True):
            plan.keys = _state_bytes.load_keys(keys, arrays, plan.kept)
        kinds = [plan.keys for plan in state._labelled]
        state._index = _state_bytes.load_index(header["labels"], arrays, kinds)
        return state


def _column(transactions: Mapping[str, Column], name: str) -> list[Any]:
    try:
        values = transactions[name]
    except KeyError as error:
        raise DataError(f"missing column {error}, which every transaction has") from error
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _checked(
    time: list[Any],
    amount: list[Any],
    never_null: dict[str, list[Any]],
    others: dict[str, list[Any]],
) -> tuple[list[int], list[float]]:
    """``time`` and ``amount`` as plain numbers.

    Raises:
        DataError: they or the columns cannot be; nothing has changed by then.
    """
    never_null = {"timestamp": time, "amount": amount, **never_null}
    for name, values in (others | never_null).items():
        if len(values) != len(time):
            raise DataError(
                f"column {name!r} has {len(values)} values, 'timestamp' has {len(time)}"
            )
        if name in never_null and None in values:
            raise DataError(f"column {name!r} has nulls; it must have none")
    try:
        time, amount = [index(value) for value in time], [float(value) for value in amount]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"timestamps must be whole numbers of microseconds, amounts numbers: {error}"
        ) from error
    for at, (when, paid) in enumerate(zip(time, amount, strict=True)):
        if not -_LONGEST < when < _LONGEST:
            raise DataError(f"timestamp {when} in row {at}: not microseconds since the epoch")
        if not 0 <= paid <= MAX_AMOUNT:  # NaN is neither
            raise DataError(f"amount {paid} in row {at}: it must be from 0 to {MAX_AMOUNT:g}")
    return time, amount


_ROW_VALUES: dict[RowValue, Callable[[int, float], float]] = {
    RowValue.AMOUNT: lambda time, amount: amount,  # noqa: ARG005
    RowValue.IS_WEEKEND: lambda time, amount: (time // _DAY + 3) % 7 >= 5,  # noqa: ARG005
    RowValue.IS_NIGHT: lambda time, amount: time % _DAY // _HOUR <= 6,  # noqa: ARG005
}
