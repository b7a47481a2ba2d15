"""What simulators share: columns in the order of time, and the tables of what investigators say."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraud_ml.transactions import label_schema

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.datetime64]

SECONDS_A_DAY = 86_400


class Columns(Protocol):
    """A dataclass of columns, shape ``(N,)`` each, of which one is a time in seconds."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def second(self) -> Ints:
        """When, from whatever time on."""


AnyColumns = TypeVar("AnyColumns", bound=Columns)


def joined_in_time(parts: Sequence[AnyColumns]) -> AnyColumns:
    """All parts, at least one, as one, in the order of time; of the same second, in theirs."""
    order = np.argsort(np.concatenate([part.second for part in parts]), kind="stable")
    names = [field.name for field in dataclasses.fields(parts[0])]
    return type(parts[0])(
        **{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in names}
    )


def first_rows(columns: AnyColumns, n: int) -> AnyColumns:
    """The first ``n`` rows of each column."""
    names = [field.name for field in dataclasses.fields(columns)]
    return type(columns)(**{name: getattr(columns, name)[:n] for name in names})


def times_since(start: dt.date, second: Ints) -> Times:
    """The time, in UTC to the microsecond, of each ``second`` since midnight of ``start``."""
    times: Times = np.datetime64(start, "us") + second.astype("timedelta64[s]")
    return times


def label_table(ids: Ints, is_fraud: Bools, times: Times, delay: dt.timedelta) -> pa.Table:
    """``transaction_id``, ``is_fraud``, ``labelled_at``: ``delay`` after the transaction's time."""
    return pa.table(
        [ids, is_fraud, times + np.timedelta64(delay)],
        schema=label_schema(transaction_id=pa.int64()),
    )
