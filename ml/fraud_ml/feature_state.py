"""Features of one transaction or a few at a time, from a running state in bounded memory.

It agrees with :func:`~fraud_ml.features.compute_features` (``arrival_order=True``): the features
of a transaction are those it computes from all transactions and labels that have arrived by then.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml import _column_values, _state_bytes
from fraud_ml._columns import microseconds
from fraud_ml._key_state import KeyState
from fraud_ml._state_plan import KeyPlan
from fraud_ml._windows import Floats, Ints
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import ColumnFeature, FeatureSpec, RowFeature, RowValue, WindowFeature

_DAY = microseconds(dt.timedelta(days=1))
_HOUR = microseconds(dt.timedelta(hours=1))
_NO_KEY = -1  # instead of a slot, where the key is null


class FeatureState:
    """The past of every key, as far as a feature of the spec may still look back.

    A key takes one entry for each instant (multiple of the spec's resolution) at which it had a
    transaction within the longest window and delay, whatever the number of transactions. Beside
    that, the state remembers which transactions a label may still be about: those of the longest
    window, delay and ``lateness``, by id.

    A transaction may arrive late, out of order: one that is older than its key's newest counts,
    for that key, as if it happened with the newest. What was answered is never revised.
    """

    def __init__(self, spec: FeatureSpec, *, lateness: dt.timedelta = dt.timedelta(days=1)) -> None:
        """An empty state.

        Args:
            spec: which features.
            lateness: how much later than the newest a transaction may come without that labels
                for its key may be forgotten too early.
        """
        self.spec = spec
        self._lateness = microseconds(lateness)
        self._resolution = microseconds(spec.resolution)
        by_key: dict[tuple[str, ...], list[int]] = {}  # of a key's columns, where features stand
        for at, feature in enumerate(spec.features):
            if isinstance(feature, WindowFeature):
                by_key.setdefault(feature.columns, []).append(at)
        self._plans = [KeyPlan(spec, columns) for columns in by_key]
        self._by_key = [(columns, np.array(at)) for columns, at in by_key.items()]
        self._keys = [KeyState(plan.horizon, spec.usual_over) for plan in self._plans]
        self._with_labels = [i for i, plan in enumerate(self._plans) if plan.looks_at_labels]
        longest = max((self._plans[i].horizon for i in self._with_labels), default=0)
        self._label_span = longest * self._resolution + self._lateness
        self._row_features = [
            (column, feature.value)
            for column, feature in enumerate(spec.features)
            if isinstance(feature, RowFeature)
        ]
        self._column_features = [
            (at, feature)
            for at, feature in enumerate(spec.features)
            if isinstance(feature, ColumnFeature)
        ]
        # Of each transaction that may be labelled: slot and instant, key by key.
        self._places: dict[Any, tuple[int, ...]] = {}
        self._arrived: deque[tuple[int, Any]] = deque()
        self._said: dict[Any, tuple[int, bool]] = {}

    def update(self, transactions: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> Floats:
        """The features of ``transactions``, which are part of the state from now on: ``(B, F)``.

        Args:
            transactions: in order of arrival, column by column: ``transaction_id``, ``timestamp``
                (microseconds since the epoch, UTC), ``amount`` and the columns that the spec
                reads; None where a key, category or number is missing.

        Raises:
            DataError: a column that the spec reads is missing, or a value in one of its own
                columns is no number or no category. The state is as it was.
        """
        try:
            ids = list(transactions["transaction_id"])
            time = np.asarray(transactions["timestamp"], dtype=np.int64)
            amount = np.asarray(transactions["amount"], dtype=np.float64)
            columns = {
                column: list(transactions[column]) for plan in self._plans for column in plan.needs
            }
            own = [transactions[feature.column] for _, feature in self._column_features]
        except KeyError as error:
            _column_values.check_columns(self.spec, transactions)
            raise DataError(f"missing column {error}, which every transaction has") from error
        features = np.empty((len(ids), len(self.spec.features)))
        for at, value in self._row_features:
            features[:, at] = _ROW_VALUES[value](time, amount)
        for (at, feature), values in zip(self._column_features, own, strict=True):
            features[:, at] = _column_values.column_of_values(values, feature)
        instant = time // self._resolution
        places = [
            self._update_key(number, columns, instant, amount, features)
            for number in range(len(self._plans))
        ]
        if self._with_labels:
            self._remember(ids, time.tolist(), [places[i] for i in self._with_labels])
        return features

    def update_table(self, transactions: pa.Table) -> pa.Table:
        """What :func:`~fraud_ml.features.compute_features` returns, of a table in its form."""
        columns = {
            name: column.to_pylist() if name != "timestamp" else column.cast(pa.int64()).to_numpy()
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
        ``labelled_at`` counts. Of no use are labels of transactions that never arrived or are too
        old to be in any window, those that are not known (nulls), and those older than one
        already given for their transaction.
        """
        applied = 0
        for transaction, is_fraud, at in zip(
            labels.column("transaction_id").to_pylist(),
            labels.column("is_fraud").to_pylist(),
            labels.column("labelled_at").cast(pa.int64()).to_pylist(),
            strict=True,
        ):
            place = self._places.get(transaction)
            known_at, was_fraud = self._said.get(transaction, (at, False))
            if place is None or is_fraud is None or at is None or at < known_at:
                continue
            applied += 1
            self._said[transaction] = (at, is_fraud)
            if is_fraud != was_fraud:
                more = 1 if is_fraud else -1
                for i, key in enumerate(self._with_labels):
                    slot, instant = place[2 * i : 2 * i + 2]
                    if slot == _NO_KEY:
                        continue
                    self._keys[key].pending.setdefault(slot, []).append(
                        (-(-at // self._resolution), instant, more)
                    )
        return applied

    def to_bytes(self) -> bytes:
        """The whole state, for :meth:`from_bytes`; no pickle."""
        header = {
            "spec": self.spec.to_json(),
            "lateness": self._lateness,
            "places": [[key, *place] for key, place in self._places.items()],
            "arrived": list(self._arrived),
            "said": [[key, *said] for key, said in self._said.items()],
        }
        return _state_bytes.dump(header, self._keys)

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureState:
        """The state that :meth:`to_bytes` wrote; it goes on exactly as that one would have.

        Raises:
            DataError: ``content`` is no feature state, damaged, or another version's.
        """
        header, restore = _state_bytes.load(content)
        state = cls(
            FeatureSpec.from_json(header["spec"]),
            lateness=dt.timedelta(microseconds=header["lateness"]),
        )
        restore(state._keys)
        state._places = {key: tuple(place) for key, *place in header["places"]}
        state._arrived = deque((time, key) for time, key in header["arrived"])
        state._said = {key: (at, says) for key, at, says in header["said"]}
        return state

    def _update_key(
        self,
        number: int,
        columns: dict[str, list[Any]],
        instant: Ints,
        amount: Floats,
        features: Floats,
    ) -> tuple[list[int], list[int]]:
        """Fill the columns of one key: NaN, and ``_NO_KEY`` as the slot, where the key is null."""
        plan, keys = self._plans[number], self._keys[number]
        key_columns, at = self._by_key[number]
        names = [columns[column] for column in key_columns]
        if not any(None in values for values in names):
            return plan.update(keys, columns, instant, amount, features)
        known = np.array([None not in name for name in zip(*names, strict=True)])
        some = {name: list(compress(columns[name], known)) for name in plan.needs}
        part = np.empty((np.count_nonzero(known), features.shape[1]))
        found = plan.update(keys, some, instant[known], amount[known], part)
        features[:, at] = np.nan
        features[np.ix_(known, at)] = part[:, at]
        slots = np.full(len(known), _NO_KEY)
        counted = instant.copy()
        slots[known], counted[known] = found
        return slots.tolist(), counted.tolist()

    def _remember(
        self, ids: list[Any], time: list[int], places: list[tuple[list[int], list[int]]]
    ) -> None:
        flat = [values for place in places for values in place]
        for transaction, at, *place in zip(ids, time, *flat, strict=True):
            self._places[transaction] = tuple(place)
            self._arrived.append((at, transaction))
        oldest = max(time, default=0) - self._label_span
        while self._arrived and self._arrived[0][0] < oldest:
            _, transaction = self._arrived.popleft()
            self._places.pop(transaction, None)
            self._said.pop(transaction, None)


_ROW_VALUES: dict[RowValue, Callable[[Ints, Floats], npt.NDArray[Any]]] = {
    RowValue.AMOUNT: lambda time, amount: amount,  # noqa: ARG005
    RowValue.IS_WEEKEND: lambda time, amount: (time // _DAY + 3) % 7 >= 5,  # noqa: ARG005
    RowValue.IS_NIGHT: lambda time, amount: time % _DAY // _HOUR <= 6,  # noqa: ARG005
}
