"""Transactions as callers send them: JSON, checked value by value against a feature spec.

One that is wrong gets its own message, and does not keep the others from being scored.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Raw, UnsetType

from fraud_detect import tensors
from fraud_detect.errors import RequestError
from fraud_detect.tensors import InferRequest
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import MAX_AMOUNT, MAX_NUMBER, transaction_columns

MAX_TRANSACTIONS = 10_000
"""In one request."""
MAX_AHEAD = dt.timedelta(days=1)
"""A transaction may be dated so much later than this machine's clock: a wrong clock at a terminal
would make all that its customer pays from then on count as late."""

BEFORE_1970 = "`timestamp` is before 1970-01-01"
"""Why a transaction is refused that early: no terminal was there, but a clock may be unset."""

LONGEST_TEXT = 256
"""Characters of an id, a key or a category."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
_Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)] | _Int64
_Named = _Text | _Int64 | bool | None
_Number = Annotated[float, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)] | None
_Amount = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]
_Time = _Int64 | Annotated[dt.datetime, Meta(tz=True)]

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Columns = dict[str, Sequence[Any]]


class _Request(msgspec.Struct, gc=False):
    transactions: list[Raw] | UnsetType = msgspec.UNSET
    """Of one that was decoded in whole, no raw ones, but of the spec's type."""
    reasons: bool = False
    inputs: Raw | UnsetType = msgspec.UNSET
    transaction_id: Raw | UnsetType = msgspec.UNSET

    @property
    def is_of_tensors(self) -> bool:
        """It is one of KServe v2, and no transaction that has a column ``inputs``."""
        return (
            self.inputs is not msgspec.UNSET
            and self.transactions is msgspec.UNSET
            and self.transaction_id is msgspec.UNSET
        )


class _Identified(msgspec.Struct, gc=False):
    transaction_id: _Id


@dataclass(frozen=True, slots=True)
class Invalid:
    """A transaction that cannot be scored."""

    transaction_id: Any
    """As it was given; None where that, too, cannot be read."""
    error: str
    """What is wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one caller asks: to score one transaction, or some."""

    columns: Columns
    """Of the N valid ones: ``transaction_id``, ``timestamp`` in microseconds since 1970-01-01 UTC,
    and the others that the spec reads."""
    errors: tuple[Invalid | None, ...]
    """Of each transaction of the request, what is wrong with it: None, nothing."""
    is_single: bool
    """It is the transaction itself, and not a list of them."""
    reasons: bool
    """Whether the answer shall give reasons."""
    infer: InferRequest | None = None
    """Where it was one of KServe v2, and wants such an answer."""


class TransactionFormat:
    """Reads the transactions that features of one spec are computed of."""

    def __init__(self, spec: FeatureSpec, *, now: Callable[[], float] = time.time) -> None:
        """Prepares to read.

        Args:
            spec: says which columns there are.
            now: seconds since 1970-01-01 UTC.
        """
        self.columns = transaction_columns(spec)
        types = {"transaction_id": _Id, "timestamp": _Time, "amount": _Amount}
        others = {name: _Number if name in spec.numbers else _Named for name in self.columns}
        fields = [(name, types.get(name, others[name])) for name in self.columns]
        self.transaction_type = msgspec.defstruct("Transaction", fields, gc=False)
        """What a transaction is, as msgspec checks it."""
        self._transaction = msgspec.json.Decoder(self.transaction_type, strict=True)
        self._request = msgspec.json.Decoder(_Request)
        all_valid = list[self.transaction_type] | UnsetType  # type: ignore[name-defined]
        valid_request = msgspec.defstruct(
            "ValidRequest",
            [("transactions", all_valid, msgspec.UNSET)],
            bases=(_Request,),
            gc=False,
        )
        self._valid_request = msgspec.json.Decoder(valid_request)
        self._values = attrgetter(*self.columns)
        self._each_value = {name: attrgetter(name) for name in self.columns}
        self._now = now

    def read(self, body: bytes | bytearray) -> Request:
        """The request in ``body``, UTF-8.

        Raises:
            RequestError: it is no JSON object, or has no transaction or too many.
        """
        request = self._decode(body)
        if request.is_of_tensors:
            return self._read_tensors(tensors.read(body))
        latest = self._latest()
        if isinstance(request.transactions, UnsetType):
            read = [self._read_one(body, latest)]
            return self._request_of(read, is_single=True, reasons=request.reasons)
        transactions: list[Any] = request.transactions
        check_length(len(transactions))
        if not isinstance(transactions[0], Raw):
            columns = self._columns_of(transactions, latest)
            if columns is not None:
                errors = (None,) * len(transactions)
                return Request(columns, errors, is_single=False, reasons=request.reasons)
        read = [self._read_one(part, latest) for part in transactions]
        return self._request_of(read, is_single=False, reasons=request.reasons)

    def _decode(self, body: bytes | bytearray) -> _Request:
        """The request; its transactions are decoded where all are valid, and else as they came."""
        with suppress(*_UNREADABLE):
            return cast("_Request", self._valid_request.decode(body))
        try:
            return self._request.decode(body)
        except _UNREADABLE as error:
            raise RequestError(
                400, f"the request is no JSON object that we know: {error}"
            ) from None

    def _columns_of(self, transactions: Sequence[Any], latest: int) -> Columns | None:
        """The columns of valid transactions; None where one is too early or too late."""
        columns: Columns = {
            name: [*map(value, transactions)] for name, value in self._each_value.items()
        }
        times = columns["timestamp"]
        if set(map(type, times)) != {int}:
            times = columns["timestamp"] = [_microseconds(when) for when in times]
        return columns if min(times) >= 0 and max(times) <= latest else None

    def _read_tensors(self, infer: InferRequest) -> Request:
        columns = tensors.columns_of(infer, self.columns)
        n_rows = len(columns["transaction_id"])
        check_length(n_rows)
        latest = self._latest()
        read = [
            self._read_row(dict(zip(columns, values, strict=True)), latest)
            for values in zip(*columns.values(), strict=True)
        ]
        return self._request_of(read, is_single=n_rows == 1, reasons=False, infer=infer)

    def _latest(self) -> int:
        """The last time, in microseconds, that a transaction may have."""
        return int((self._now() + MAX_AHEAD.total_seconds()) * 1e6)

    def _request_of(
        self,
        read: Sequence[tuple[Any, ...] | Invalid],
        *,
        is_single: bool,
        reasons: bool,
        infer: InferRequest | None = None,
    ) -> Request:
        rows = [row for row in read if not isinstance(row, Invalid)]
        columns = zip(*rows, strict=True) if rows else ((),) * len(self.columns)
        return Request(
            columns=dict(zip(self.columns, columns, strict=True)),
            errors=tuple(row if isinstance(row, Invalid) else None for row in read),
            is_single=is_single,
            reasons=reasons,
            infer=infer,
        )

    def _read_one(self, part: Any, latest: int) -> tuple[Any, ...] | Invalid:
        """The values of a transaction, decoded or not, in the order of :attr:`columns`."""
        transaction = part
        if isinstance(part, bytes | bytearray | Raw):
            try:
                transaction = self._transaction.decode(part)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                return Invalid(_id_of(part), str(error))
        return self._in_time(self._values(transaction), latest)

    def _read_row(self, row: dict[str, Any], latest: int) -> tuple[Any, ...] | Invalid:
        """The same of values that were read already."""
        try:
            transaction = msgspec.convert(row, self.transaction_type, strict=True)
        except msgspec.ValidationError as error:
            return Invalid(_id_in(row), str(error))
        return self._in_time(self._values(transaction), latest)

    def _in_time(self, values: tuple[Any, ...], latest: int) -> tuple[Any, ...] | Invalid:
        """``values`` with the time in microseconds, unless that cannot be."""
        name, given, *others = values
        when = _microseconds(given)
        if when is not given:
            values = (name, when, *others)
        if when < 0:
            return Invalid(name, BEFORE_1970)
        if when > latest:
            return Invalid(name, f"`timestamp` is over {MAX_AHEAD} ahead of this service's clock")
        return values


def _microseconds(when: int | dt.datetime) -> int:
    return when if type(when) is int else (when - _EPOCH) // _MICROSECOND  # type: ignore[operator]


def check_length(n_rows: int) -> None:
    """Raises :class:`RequestError` where a request has no transaction, or too many."""
    if not 0 < n_rows <= MAX_TRANSACTIONS:
        raise RequestError(
            413 if n_rows else 400,
            f"a request has 1 to {MAX_TRANSACTIONS:,} transactions, this has {n_rows:,}",
        )


def _id_of(part: bytes | bytearray | Raw) -> Any:
    try:
        return _identified.decode(part).transaction_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _id_in(row: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(row, _Identified, strict=True).transaction_id
    except msgspec.ValidationError:
        return None


_identified = msgspec.json.Decoder(_Identified)
