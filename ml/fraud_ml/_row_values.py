"""What a feature takes from the transaction alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fraud_ml._columns import microseconds
from fraud_ml.feature_spec import RowValue

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_DAY = microseconds(dt.timedelta(days=1))
_HOUR = microseconds(dt.timedelta(hours=1))


def row_values(value: RowValue, time: Ints, amount: Floats) -> Floats:
    """``value`` of each transaction: shape ``(N,)``.

    Args:
        value: which.
        time: microseconds since the epoch, UTC: shape ``(N,)``.
        amount: shape ``(N,)``.
    """
    return _VALUES[value](time, amount)


def _is_weekend(time: Ints, amount: Floats) -> Floats:  # noqa: ARG001
    # The epoch, day 0, was a Thursday, and Monday is 0.
    return ((time // _DAY + 3) % 7 >= 5).astype(np.float64)


def _is_night(time: Ints, amount: Floats) -> Floats:  # noqa: ARG001
    return (time % _DAY // _HOUR <= 6).astype(np.float64)


_VALUES: dict[RowValue, Callable[[Ints, Floats], Floats]] = {
    RowValue.AMOUNT: lambda time, amount: amount,  # noqa: ARG005
    RowValue.IS_WEEKEND: _is_weekend,
    RowValue.IS_NIGHT: _is_night,
}
